import { confBucket, decodeJson, sectionSchemas, type SectionName, type Sections } from "@sluice/contracts";
import { followBucket, type BucketEntry } from "./bucket-follower.ts";
import type { Bus } from "./bus.ts";
import { commitKey, HeldPieces, type Commit, type SectionMap } from "./conf-pieces.ts";

type OnChange<Name extends SectionName> = (tenants: SectionMap<Name>) => void | Promise<void>;

/** Reads this service's part of the configuration and follows it. Resolves after the first complete reading. */
export async function watchSection<Name extends SectionName>(
  bus: Bus,
  section: Name,
  onChange: OnChange<Name>,
): Promise<AsyncDisposable> {
  const read = (value: Uint8Array) => sectionSchemas[section].parse(decodeJson(value)) as Sections[Name];
  return await followBucket(bus, {
    bucket: confBucket,
    key: `${section}.*`,
    begin: (onReady) => {
      const pieces = new HeldPieces();
      let commit: Commit | undefined;
      return async ({ key, value, operation }: BucketEntry) => {
        const name = key.slice(section.length + 1);
        if (name === commitKey) commit = decodeJson<Commit>(value);
        else if (operation === "PUT") pieces.put(name, value);
        else pieces.delete(name);
        const whole = commit && pieces.take(commit);
        if (whole === undefined) return;
        commit = undefined;
        await onChange(new Map([...whole].map(([tenant, bytes]) => [tenant, read(bytes)])));
        onReady();
      };
    },
  });
}
