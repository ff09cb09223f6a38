export { Breaker } from "./breaker.ts";
export { Connections } from "./connections.ts";
export { isEventStream } from "./event-stream.ts";
export { Exchange, type ReceivedHeaders, type UpstreamRequest } from "./exchange.ts";
export { encodeHeaderValue } from "./header-value.ts";
export { endsHere } from "./hop-by-hop.ts";
export { signatureOf } from "./signature.ts";
export { SseReader, type SsePiece } from "./sse-reader.ts";
