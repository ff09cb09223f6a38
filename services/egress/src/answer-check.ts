import { Fault } from "@sluice/contracts";
import { compile, raw, scan, scanAsync, type Plan, type Scan } from "@sluice/json";
import { observe, type Observation } from "./messages.ts";

const wanted = compile([["id"], ["method"], ["error"], ["result"], ["result", "isError"], ["jsonrpc"]], []);
const largeBytes = 256 * 1024;
const unknown: Observation = { answers: undefined, isError: false };

/**
 * Looks at a whole body that came with this status; `rpcId` is undefined where no answer is due. An answer that says
 * by its status that it failed is its sender's own, whatever it holds.
 * @throws Fault `upstream_failed` where a request is not answered by what came.
 */
export function checkAnswer(bytes: Buffer, status: number, rpcId: string | undefined): Observation | undefined {
  if (rpcId === undefined) return undefined;
  return status < 300 ? requireAnswer(bytes, scan(bytes, wanted), rpcId) : observe(bytes);
}

/** As `checkAnswer`, in slices where the body is large, and of nothing but success. @throws Fault `upstream_failed` */
export async function checkLargeAnswer(bytes: Buffer, status: number, rpcId: string | undefined): Promise<void> {
  if (rpcId === undefined || status >= 300) return;
  requireAnswer(bytes, await scanInSlices(bytes, wanted), rpcId);
}

/** What is large is read in slices, so that it holds up nobody. */
export async function scanInSlices(bytes: Buffer, plan: Plan): Promise<Scan> {
  return bytes.length > largeBytes ? await scanAsync(bytes, plan) : scan(bytes, plan);
}

/**
 * Checks that a whole body is the JSON-RPC answer to the request with this raw JSON id. An error without an id is one,
 * as its sender may not have been able to read the id (JSON-RPC 2.0 §5). What is JSON but more than the scanner reads
 * passes as it is.
 */
function requireAnswer(bytes: Buffer, seen: Scan, rpcId: string): Observation {
  if (!seen.ok) {
    if (seen.error.kind === "invalid_json") throw new Fault("upstream_failed", "the upstream's answer is no JSON");
    return unknown;
  }
  const [id, method, error, result, isError, jsonrpc] = seen.values;
  if (seen.root.kind !== "object" || method !== undefined || (error ?? result) === undefined)
    throw new Fault("upstream_failed", "the upstream's answer is no JSON-RPC answer");
  const given = id === undefined ? "null" : raw(bytes, id).toString("utf8");
  if (!(error !== undefined && given === "null") && !isSameId(given, rpcId))
    throw new Fault("upstream_failed", "the upstream answered another request than it was sent");
  const said = jsonrpc === undefined ? undefined : (result ?? error);
  return {
    answers: rpcId,
    isError: error !== undefined || isError?.kind === "true",
    ...(said !== undefined && { said: raw(bytes, said) }),
  };
}

/** Ids are equal by value: `1.0` may come back as `1`, but never as `"1"`. */
export function isSameId(given: string, sent: string): boolean {
  return given === sent || JSON.parse(given) === JSON.parse(sent);
}
