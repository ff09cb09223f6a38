import { readFile } from "node:fs/promises";
import { Agent, request } from "undici";
import type { VaultSettings } from "./settings.ts";
import { VaultProblem } from "./vault-problem.ts";

/** What Vault answers to everything here; each part may be missing. */
export interface VaultAnswer {
  readonly data?: unknown;
  readonly auth?: unknown;
  readonly lease_id?: unknown;
  readonly lease_duration?: unknown;
  readonly renewable?: unknown;
}

export interface VaultRequest {
  readonly method: "GET" | "POST" | "PUT";
  /** Below `/v1/`. */
  readonly path: string;
  readonly token?: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

const mostBytes = 1024 * 1024;

/** Vault's HTTP API. Nothing of an answer gets into an error, and no redirect is followed. */
export class VaultHttp implements AsyncDisposable {
  readonly #settings: VaultSettings;
  #agent: Agent | undefined;

  constructor(settings: VaultSettings) {
    this.#settings = settings;
  }

  /** Reads certificates anew, for what connects from now on. */
  async reopen(): Promise<void> {
    const { CACERT, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME } = this.#settings;
    const [ca, cert, key] = await Promise.all([CACERT, CLIENT_CERT, CLIENT_KEY].map(optionalFile));
    const before = this.#agent;
    this.#agent = new Agent({
      connect: {
        timeout: this.#timeoutMs,
        ...(ca !== undefined && { ca }),
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
        ...(TLS_SERVER_NAME !== undefined && { servername: TLS_SERVER_NAME }),
      },
    });
    await before?.close();
  }

  /** @throws VaultProblem for everything but 200 and 204, and where there is no answer in time */
  async ask({ method, path, token, body }: VaultRequest): Promise<VaultAnswer> {
    if (this.#agent === undefined) await this.reopen();
    const { ADDR, NAMESPACE } = this.#settings;
    try {
      const answer = await request(`${ADDR.replace(/\/+$/, "")}/v1/${path}`, {
        dispatcher: this.#agent as Agent,
        method,
        signal: AbortSignal.timeout(this.#timeoutMs),
        headers: {
          "x-vault-request": "true",
          ...(token !== undefined && { "x-vault-token": token }),
          ...(NAMESPACE !== undefined && { "x-vault-namespace": NAMESPACE }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const bytes = await readBounded(answer.body);
      if (answer.statusCode === 204) return {};
      if (answer.statusCode !== 200) throw VaultProblem.ofStatus(answer.statusCode);
      return parsed(bytes);
    } catch (error) {
      throw VaultProblem.of(error);
    }
  }

  get #timeoutMs(): number {
    return this.#settings.CLIENT_TIMEOUT * 1000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.destroy();
  }
}

async function optionalFile(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  return await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new VaultProblem(`the certificate file ${path} can't be read (${error.code})`);
  });
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > mostBytes) throw new VaultProblem(`Vault's answer is larger than ${mostBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parsed(bytes: Buffer): VaultAnswer {
  let answer: unknown;
  try {
    answer = JSON.parse(bytes.toString("utf8"));
  } catch {
    // The parser's message quotes the answer.
  }
  if (typeof answer === "object" && answer !== null && !Array.isArray(answer)) return answer;
  throw new VaultProblem("Vault's answer is no JSON object: is VAULT_ADDR the address of Vault?");
}
