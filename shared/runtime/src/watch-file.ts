import { watch } from "node:fs";
import { dirname } from "node:path";

const settleMs = 100;
const lookEveryMs = 5_000;

/**
 * Calls back soon after anything happened in the file's directory: editors replace files by rename, and Kubernetes swaps
 * a symbolic link beside them. Looks regularly too, because network file systems tell nothing.
 */
export function watchFile(file: string, onMaybeChanged: () => void): Disposable {
  let settling: NodeJS.Timeout | undefined;
  const soon = () => {
    clearTimeout(settling);
    settling = setTimeout(onMaybeChanged, settleMs);
  };
  const watcher = watch(dirname(file), soon);
  watcher.on("error", () => watcher.close());
  const timer = setInterval(onMaybeChanged, lookEveryMs).unref();
  return {
    [Symbol.dispose]: () => {
      watcher.close();
      clearTimeout(settling);
      clearInterval(timer);
    },
  };
}
