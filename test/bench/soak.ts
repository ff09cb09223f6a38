import { measure, type Cell, type Meters, type Sample } from "./measure.ts";
import type { Subject } from "./processes.ts";
import { memoryText, sampleText } from "./report.ts";
import { rowsOf, type Row } from "./rows.ts";

const stepMs = 30_000;
const cell: Cell = { workload: "unary-256", concurrency: 64 };

/** Keeps the load on and prints memory every 30 s; growth is judged from the end of the first quarter on, when caches are full. */
export async function soak(meters: Meters, subject: Subject, minutes: number): Promise<Row[]> {
  const steps = Math.max(2, Math.round((minutes * 60_000) / stepMs));
  const samples: Sample[] = [];
  for (let step = 1; step <= steps; step += 1) {
    const sample = await measure(meters, { subject, cell, warmUpMs: 0, measureMs: stepMs });
    if (!sample) throw new Error(`${subject.name} cannot do ${cell.workload}`);
    samples.push(sample);
    console.log(
      `${String((step * stepMs) / 1_000).padStart(5)} s  ${sampleText(sample)}\n         ${memoryText(sample.rssMb, sample.rssMbByProcess)}`,
    );
  }
  console.log(`\nRSS MB after the first quarter → at the end\n${growth(samples)}`);
  return samples.flatMap((sample) => rowsOf(cell, [], [sample]));
}

function growth(samples: readonly Sample[]): string {
  const first = samples[Math.floor(samples.length / 4)];
  const last = samples.at(-1);
  if (!first || !last) return "";
  const line = (name: string, from: number, to: number) =>
    `  ${name.padEnd(16)} ${from.toFixed(0).padStart(6)} → ${to.toFixed(0).padStart(6)}  ${((to / from - 1) * 100).toFixed(1)} %`;
  const each = Object.entries(last.rssMbByProcess).map(([name, to]) =>
    line(name, first.rssMbByProcess[name] ?? to, to),
  );
  return [...each, line("sum", first.rssMb, last.rssMb)].join("\n");
}
