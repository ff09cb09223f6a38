import type { Socket } from "node:net";

/** Where the answer of a call is written: the client's HTTP response itself, or what takes the messages out of it. */
export interface Answer {
  readonly statusCode: number;
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  /** Bytes that wait for the client. */
  readonly writableLength: number;
  readonly socket: Socket | null;
  /** False where no client can come back for the rest with the id of an event. */
  readonly resumable?: boolean;
  writeHead(status: number, headers: Record<string, string | number>): unknown;
  flushHeaders(): void;
  write(bytes: string | Uint8Array): boolean;
  end(bytes?: string | Uint8Array): unknown;
  destroy(): unknown;
  on(event: "close" | "drain", listener: () => void): unknown;
  once(event: "close" | "drain", listener: () => void): unknown;
  off(event: "close" | "drain", listener: () => void): unknown;
}
