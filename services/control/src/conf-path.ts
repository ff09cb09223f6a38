import { stat } from "node:fs/promises";
import { join } from "node:path";

/** A directory stands for its `tenants.yaml`. */
export async function fileOf(place: string): Promise<string> {
  const isDirectory = await stat(place).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isDirectory ? join(place, "tenants.yaml") : place;
}
