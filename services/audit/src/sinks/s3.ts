import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { linesOf } from "./body.ts";
import { secretOf } from "./header-value.ts";
import { post, refusesNothing } from "./post.ts";
import { Away, lastOf, type Batch, type Sink, type SinkContext, type SinkOf } from "./sink.ts";

const timeoutMs = 60_000;
const indexDigits = 12;

/**
 * One object per batch, `<prefix><log>/<year>/<month>/<day>/<first index>-<last index>.jsonl`: what is sent again has the same
 * name. Buckets are addressed by path where there is an `endpoint`, by host name at Amazon's.
 */
export function s3Sink(destination: SinkOf<"s3">, { secrets, format, ca }: SinkContext): Sink {
  const { region, prefix, accessKeyId, secretAccessKey } = destination;
  const signer = new SignatureV4({
    service: "s3",
    region,
    credentials: async () => ({
      accessKeyId: secretOf(accessKeyId, secrets),
      secretAccessKey: secretOf(secretAccessKey, secrets),
    }),
    sha256: Sha256,
    uriEscapePath: false,
  });
  const base = baseOf(destination);
  return {
    send: async (batch, signal) => {
      const url = new URL(`${base}${prefix}${nameOf(batch)}.${format.extension}`);
      const body = Buffer.from(linesOf(batch.records));
      const signed = await signer.sign({
        method: "PUT",
        protocol: url.protocol,
        hostname: url.hostname,
        path: url.pathname,
        query: {},
        headers: {
          host: url.host,
          "content-type": format.isJson ? "application/x-ndjson" : "text/plain; charset=utf-8",
          "content-length": String(body.length),
        },
        body,
      });
      try {
        await post(
          { url, method: "PUT", headers: signed.headers, body, timeoutMs, refusals: refusesNothing, ca },
          signal,
        );
      } catch (error) {
        if (error instanceof Away && error.message === "HTTP 403")
          for (const reference of [accessKeyId, secretAccessKey]) secrets.again(reference);
        throw error;
      }
    },
  };
}

function baseOf({ endpoint, region, bucket }: SinkOf<"s3">): string {
  // Amazon's certificates are for names without further dots.
  const isHost = endpoint === undefined && !bucket.includes(".");
  if (isHost) return `https://${bucket}.s3.${region}.amazonaws.com/`;
  return `${(endpoint ?? `https://s3.${region}.amazonaws.com`).replace(/\/$/, "")}/${bucket}/`;
}

function nameOf({ log, records }: Batch): string {
  const day = records[0].at.toISOString().slice(0, "2026-01-01".length).replaceAll("-", "/");
  const digits = (index: number) => String(index).padStart(indexDigits, "0");
  return `${log}/${day}/${digits(records[0].index)}-${digits(lastOf(records).index)}`;
}

type Hashing = ReturnType<typeof createHash> | ReturnType<typeof createHmac>;

/** As the signer wants it. */
class Sha256 {
  #hash: Hashing;
  readonly #begin: () => Hashing;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#begin = () => (secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret)));
    this.#hash = this.#begin();
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = this.#begin();
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === "string") return Buffer.from(data);
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
