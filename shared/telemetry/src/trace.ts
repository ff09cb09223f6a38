import { randomFillSync } from "node:crypto";
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Span as OtelSpan,
} from "@opentelemetry/api";

/** One service's part of a request, in W3C trace context whether or not anything collects it. */
export interface Span {
  readonly traceId: string;
  /** To be handed to whoever works next on this request. */
  readonly traceparent: string;
  end(outcome?: { readonly error?: string; readonly attributes?: Attributes }): void;
}

export type SpanRole = "server" | "client" | "internal";

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const;
const traceparentForm = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const zeroTrace = "0".repeat(32);
const zeroSpan = "0".repeat(16);
const tracer = trace.getTracer("sluice");
let isCollected = false;

/** Says that an OpenTelemetry SDK is registered; until then spans are only carried on. */
export function collectSpans(): void {
  isCollected = true;
}

/**
 * Starts a span under a `traceparent` (https://www.w3.org/TR/trace-context/). A missing or malformed one starts a new trace.
 * Without an OpenTelemetry SDK (register.ts) nothing is recorded and the context is only carried on.
 */
export function startSpan(name: string, role: SpanRole, parent: string | undefined): Span {
  const context = readTraceparent(parent);
  if (!isCollected) return carried(context);
  const above = context === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context);
  const span = tracer.startSpan(name, { kind: kinds[role] }, above);
  return span.isRecording() ? recorded(span) : carried(context);
}

function recorded(span: OtelSpan): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return {
    traceId,
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
    end: (outcome = {}) => {
      if (outcome.attributes !== undefined) span.setAttributes(outcome.attributes);
      if (outcome.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: outcome.error });
      span.end();
    },
  };
}

const nothing = () => {};

function carried(context: ReturnType<typeof readTraceparent>): Span {
  const traceId = context?.traceId ?? randomHex(16);
  const flags = context?.traceFlags === 1 ? "01" : "00";
  return { traceId, traceparent: `00-${traceId}-${context?.spanId ?? randomHex(8)}-${flags}`, end: nothing };
}

function readTraceparent(text: string | undefined) {
  const match = text === undefined ? null : traceparentForm.exec(text);
  const [, traceId, spanId, flags] = match ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (traceId === zeroTrace || spanId === zeroSpan) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

const pool = Buffer.alloc(4096);
let used = pool.length;

/** Random bytes from a pool: a call to the system for each request would cost more than the rest of the span. */
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool.toString("hex", used, (used += bytes));
}
