import { describe, expect, it } from "vitest";
import { readOptions } from "./options.ts";

const concurrenciesOf = (args: string[], workload: string) =>
  readOptions(args)
    ?.cells.filter((cell) => cell.workload === workload)
    .map(({ concurrency }) => concurrency);

describe("the options of the benchmark", () => {
  it("leave federated lists out at 250, unless that is asked for", () => {
    expect(concurrenciesOf([], "unary-256")).toEqual([1, 16, 64, 250]);
    expect(concurrenciesOf([], "federated-list")).toEqual([1, 16, 64]);
    expect(concurrenciesOf([], "federated-list-uncached")).toEqual([1, 16, 64]);
    expect(concurrenciesOf(["--concurrency", "250"], "federated-list")).toEqual([250]);
  });

  it("keep from the baseline what a bare proxy cannot do", () => {
    expect(readOptions(["--only", "baseline"])?.workloads).toEqual([
      "unary-256",
      "unary-32k",
      "sse-20",
      "tools-list",
      "tools-list-uncached",
      "a2a-send",
      "a2a-stream-20",
      "workstation-256",
      "workstation-sse-20",
    ]);
    expect(() => readOptions(["--only", "baseline", "--workload", "federated-list"])).toThrow(
      "leaves nothing to do: a bare proxy has no federated-list",
    );
  });
});
