import { watch, type FSWatcher } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Editors write in several steps: what comes within this time is one edit. */
const settleMs = 80;
/** No matter how much happens in the directory, nobody waits longer for the file to be looked at. */
const longestSettleMs = 400;
const lookEveryMs = 500;

/**
 * Calls back soon after anything happened in the file's directory: editors replace files by rename, and Kubernetes swaps
 * a symbolic link beside them. Looks at the file regularly too, because network file systems tell nothing.
 */
export function watchFile(file: string, onMaybeChanged: () => void): Disposable {
  let settling: NodeJS.Timeout | undefined;
  let waitingSince = 0;
  const fire = () => {
    settling = undefined;
    onMaybeChanged();
  };
  const soon = () => {
    if (settling === undefined) waitingSince = performance.now();
    clearTimeout(settling);
    const leftMs = waitingSince + longestSettleMs - performance.now();
    settling = setTimeout(fire, Math.max(0, Math.min(settleMs, leftMs)));
  };
  let seen: string | undefined;
  const look = async () => {
    const now = await stateOf(file);
    if (seen !== undefined && now !== seen) soon();
    seen = now;
  };
  const watcher = watched(dirname(file), soon);
  const timer = setInterval(() => void look(), lookEveryMs).unref();
  void look();
  return {
    [Symbol.dispose]: () => {
      watcher?.close();
      clearTimeout(settling);
      clearInterval(timer);
    },
  };
}

/** Where the directory can't be watched, looking has to do. */
function watched(directory: string, onEvent: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, onEvent);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}

/** Differs whenever the file was written or another one took its place. */
async function stateOf(file: string): Promise<string> {
  return await stat(file, { bigint: true }).then(
    ({ dev, ino, size, mtimeNs }) => [dev, ino, size, mtimeNs].join(" "),
    (error: NodeJS.ErrnoException) => error.code ?? "unknown",
  );
}
