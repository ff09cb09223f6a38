import { decodeJson, encodeJson, Fault } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

/** How full a stream is. */
export interface StreamState {
  readonly messages: number;
  readonly bytes: number;
  /** Its bound; -1 where it has none. */
  readonly maxBytes: number;
  /** Of its oldest message; all before it are gone. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** When its oldest message came (Unix milliseconds); undefined where it is empty. */
  readonly oldestAt: number | undefined;
}

interface StreamInfo {
  readonly config?: { readonly max_bytes?: number };
  readonly state?: {
    readonly messages: number;
    readonly bytes: number;
    readonly first_seq: number;
    readonly last_seq: number;
    readonly first_ts: string;
  };
}

const answerTimeoutMs = 5_000;

/** @throws Fault `unavailable` where there is no such stream, or no answer */
export async function stateOf(bus: Bus, stream: string): Promise<StreamState> {
  const answer = await bus.ask(`$JS.API.STREAM.INFO.${stream}`, encodeJson({}), { timeoutMs: answerTimeoutMs });
  const { config, state } = decodeJson<StreamInfo>(answer.data);
  if (state === undefined) throw new Fault("unavailable", "the stream is not there");
  return {
    messages: state.messages,
    bytes: state.bytes,
    maxBytes: config?.max_bytes ?? -1,
    firstSequence: state.first_seq,
    lastSequence: state.last_seq,
    oldestAt: state.messages === 0 ? undefined : Date.parse(state.first_ts),
  };
}
