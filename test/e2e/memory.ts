import { readFileSync, writeFileSync } from "node:fs";
import type { Replica } from "@sluice/launcher";

const mebibyte = 1024 * 1024;

/** Watches how far processes' resident memory rises above where it stood. */
export class MemoryWatch {
  readonly #before: ReadonlyMap<Replica, number>;

  constructor(replicas: readonly Replica[]) {
    this.#before = new Map(replicas.map((replica) => [replica, begin(replica.process.pid)]));
  }

  /** The highest rise so far among the processes, in MiB, also of a peak that has passed. */
  get riseMb(): number {
    return (
      Math.max(...[...this.#before].map(([replica, before]) => field(replica.process.pid, "VmHWM") - before)) / mebibyte
    );
  }
}

/** Writing 5 makes the kernel forget the process' peak (proc(5), clear_refs). */
function begin(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  return field(pid, "VmRSS");
}

function field(pid: number, name: string): number {
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kibibytes === undefined) throw new Error(`the kernel does not tell ${name} of process ${pid}`);
  return Number(kibibytes) * 1024;
}
