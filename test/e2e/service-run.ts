import { setTimeout as sleep } from "node:timers/promises";
import { freePort, nodeArguments, serviceMain, spawnService } from "@sluice/launcher";
import type { TestHouse } from "@sluice/testing";
import { natsPassword } from "./bus-spy.ts";

type ServiceName = Parameters<typeof serviceMain>[0];

export interface ServiceEnd {
  /** null where the service had to be stopped, because it took up its work or still tried to. */
  readonly code: number | null;
  readonly output: string;
}

export interface ServiceRun {
  readonly house: TestHouse;
  readonly service: ServiceName;
  /** What differs from a replica of the house; an undefined value is not set at all. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Stops a service that does not end by itself; default: its line that it is ready. */
  readonly stopAt?: RegExp;
  /** Done again and again until then: work that the service takes a part of. */
  readonly meanwhile?: () => Promise<unknown>;
}

/** A service that neither ends nor says anything is stopped too. */
const deadlineMs = 30_000;
const meanwhileEveryMs = 50;

/** Runs one more replica of a service to its end, or until it says what `stopAt` waits for. */
export async function runService({
  house,
  service,
  env,
  stopAt = /"msg":"ready"/,
  meanwhile,
}: ServiceRun): Promise<ServiceEnd> {
  const lines: string[] = [];
  const said = Promise.withResolvers<void>();
  const { PATH } = process.env;
  const own = {
    NATS_URL: house.house.parts.nats.url,
    NATS_USER: service,
    NATS_PASSWORD: await natsPassword(house, service),
    HEALTH_PORT: String(await freePort()),
  };
  const child = await spawnService({
    name: service,
    command: process.execPath,
    args: [...nodeArguments, serviceMain(service)],
    env: Object.fromEntries(Object.entries({ PATH, ...own, ...env }).filter(([, value]) => value !== undefined)),
    onLine: (line) => {
      lines.push(line);
      if (stopAt.test(line)) said.resolve();
    },
  });
  const timer = setTimeout(said.resolve, deadlineMs);
  const end = Promise.race([child.exit.then(({ code }) => code), said.promise.then(() => null)]);
  let over = false;
  void end.then(() => (over = true));
  while (meanwhile !== undefined && !over) {
    await meanwhile();
    await sleep(meanwhileEveryMs);
  }
  const ended = await end;
  clearTimeout(timer);
  if (ended === null) await child.stop();
  return { code: ended, output: lines.join("\n") };
}
