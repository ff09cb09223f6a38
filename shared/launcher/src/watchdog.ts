import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

/**
 * Reads "add <pid> <signal>" and "del <pid>". The end of its input means that the launcher is gone,
 * however it died: every process group still listed is asked to end and, after 3 s, killed.
 */
const SCRIPT = `
trap '' INT TERM HUP QUIT
list=
while read -r verb pid sig; do
  new=
  for entry in $list; do [ "\${entry%%:*}" = "$pid" ] || new="$new $entry"; done
  list=$new
  [ "$verb" = add ] && list="$list $pid:$sig"
done
for entry in $list; do kill -s "\${entry#*:}" -- "-\${entry%%:*}"; done
n=0
while [ $n -lt 30 ]; do
  alive=
  for entry in $list; do kill -s 0 -- "-\${entry%%:*}" && alive=1; done
  [ "$alive" ] || exit 0
  sleep 0.1
  n=$((n + 1))
done
for entry in $list; do kill -s KILL -- "-\${entry%%:*}"; done
`;

const guarded = new Map<number, NodeJS.Signals>();
let watchdog: ChildProcess | undefined;

/** From here on the process group ends when this process does, even by kill -9. */
export function guard(pid: number, signal: NodeJS.Signals): void {
  guarded.set(pid, signal);
  if (watchdog) tell(`add ${line(pid, signal)}`);
  else startWatchdog();
}

/** To be called once the process is known to be gone, before its id can be used again. */
export function unguard(pid: number): void {
  guarded.delete(pid);
  tell(`del ${pid}`);
}

function startWatchdog(): void {
  const child = spawn("/bin/sh", ["-c", SCRIPT], { detached: true, stdio: ["pipe", "ignore", "ignore"], cwd: "/" });
  watchdog = child;
  const forget = (): void => {
    if (watchdog === child) watchdog = undefined;
  };
  child.once("exit", forget);
  child.once("error", forget);
  child.stdin.on("error", forget);
  child.unref();
  (child.stdin as Socket).unref();
  for (const [pid, signal] of guarded) tell(`add ${line(pid, signal)}`);
}

function line(pid: number, signal: NodeJS.Signals): string {
  return `${pid} ${signal.replace(/^SIG/, "")}`;
}

function tell(text: string): void {
  watchdog?.stdin?.write(`${text}\n`);
}
