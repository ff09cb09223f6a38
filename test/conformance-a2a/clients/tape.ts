import { Problem } from "./client.ts";

/** A request of a client and what came back, byte for byte. */
export interface Take {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly status: number;
  readonly contentType: string;
  /** As far as the client has read. */
  readonly answer: string;
}

/** What went over a client's wire, in order. */
export interface Tape {
  readonly takes: readonly Take[];
  readonly fetch: typeof fetch;
  /** Runs what a client does; what fails because of an error of the protocol fails with a `Problem`. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** The same for streams. */
  iterate<T>(work: () => AsyncIterable<T>): AsyncIterable<T>;
}

export function startTape(headers: Readonly<Record<string, string>> = {}): Tape {
  const takes: { -readonly [key in keyof Take]: Take[key] }[] = [];
  const record = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const sent = new Headers(init.headers);
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    const url = input instanceof Request ? input.url : String(input);
    const body = typeof init.body === "string" ? init.body : "";
    const take = { method: init.method ?? "GET", url, body, status: 0, contentType: "", answer: "" };
    takes.push(take);
    const response = await fetch(url, { ...init, headers: sent });
    take.status = response.status;
    take.contentType = response.headers.get("content-type") ?? "";
    if (response.body === null) return response;
    const decoder = new TextDecoder();
    const copied = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          take.answer += decoder.decode(chunk, { stream: true });
          controller.enqueue(chunk);
        },
      }),
    );
    const { status, statusText, headers: received } = response;
    return new Response(copied, { status, statusText, headers: received });
  };
  const explained = (error: unknown) => {
    const code = codeOf(takes.at(-1));
    return code === undefined ? error : new Problem(code, { cause: error });
  };
  return {
    takes,
    fetch: record as typeof fetch,
    async run(work) {
      try {
        return await work();
      } catch (error) {
        throw explained(error);
      }
    },
    async *iterate(work) {
      try {
        yield* work();
      } catch (error) {
        throw explained(error);
      }
    },
  };
}

/** Reasons of `google.rpc.ErrorInfo` (1.0 §5.4). */
const reasons: Readonly<Record<string, number>> = {
  TASK_NOT_FOUND: -32_001,
  TASK_NOT_CANCELABLE: -32_002,
  PUSH_NOTIFICATION_NOT_SUPPORTED: -32_003,
  UNSUPPORTED_OPERATION: -32_004,
  CONTENT_TYPE_NOT_SUPPORTED: -32_005,
  INVALID_AGENT_RESPONSE: -32_006,
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: -32_007,
  EXTENSION_SUPPORT_REQUIRED: -32_008,
  VERSION_NOT_SUPPORTED: -32_009,
};

interface ErrorBody {
  readonly code?: number;
  readonly error?: { readonly code?: number; readonly details?: readonly { readonly reason?: string }[] };
}

/** The code of the error that an answer is or ends with; an error of REST without a reason has its HTTP status. */
function codeOf(take: Take | undefined): number | undefined {
  if (take === undefined || take.answer === "") return undefined;
  const text = take.contentType.startsWith("text/event-stream") ? lastData(take.answer) : take.answer;
  let body: ErrorBody;
  try {
    body = JSON.parse(text) as ErrorBody;
  } catch {
    return take.status >= 400 ? take.status : undefined;
  }
  const reason = body.error?.details?.map((detail) => detail.reason ?? "").find((name) => name in reasons);
  return reason === undefined ? (body.error?.code ?? body.code) : reasons[reason];
}

const lastData = (text: string): string => [...text.matchAll(/^data: ?(.+)$/gm)].at(-1)?.[1] ?? "";
