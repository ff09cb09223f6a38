/** How often it is looked for: nothing tells a process that its parent is gone. */
const lookEveryMs = 250;
const parent = process.ppid;

/**
 * Calls back once the process that started this one is gone, where npm or npx is behind it: npm signals only the shell
 * that it puts between itself and the program, and that shell does not pass signals on.
 */
export function whenNpmIsGone(callback) {
  if (!process.env.npm_execpath && !process.env.npm_lifecycle_event) return;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, lookEveryMs);
  timer.unref();
}
