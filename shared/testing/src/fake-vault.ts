import { randomBytes } from "node:crypto";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

interface FakeToken {
  ttlS: number;
  until: number;
  renewable: boolean;
  /** No renewal goes beyond this. */
  mostUntil: number;
}

export interface TokenTerms {
  readonly ttlS?: number;
  readonly renewable?: boolean;
  readonly mostS?: number;
}

export interface AskedOfVault {
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly namespace: string | undefined;
  readonly body: Record<string, unknown>;
}

export interface VaultStart {
  readonly port?: number;
  readonly tls?: ServerOptions;
  readonly rootToken?: string;
}

/** What is at a path: data of KV version 1 or 2, or what is leased anew at each reading. */
type Kept =
  | { readonly kv: 1 | 2; readonly data: Record<string, unknown> }
  | {
      readonly leaseS: number;
      readonly renewable: boolean;
      readonly make: (time: number) => Record<string, unknown>;
      times: number;
    };

/** Speaks as much of Vault's HTTP API over a socket as the gateway uses, with answers shaped like those of Vault. */
export class FakeVault implements AsyncDisposable {
  readonly asked: AskedOfVault[] = [];
  readonly rootToken: string;
  readonly appRole = { role_id: randomBytes(16).toString("hex"), secret_id: randomBytes(16).toString("hex") };
  readonly kubernetes = { role: "sluice", jwt: `jwt-${randomBytes(24).toString("base64url")}` };
  /** What logins give. */
  terms: TokenTerms = {};
  sealed = false;
  /** Paths that no token may read. */
  readonly denied = new Set<string>();
  /** The body of every answer while set, with status 200. */
  garbled: string | undefined;
  /** Answers nothing while set. */
  silent = false;
  readonly #server: Server;
  readonly #scheme: string;
  readonly #tokens = new Map<string, FakeToken>();
  readonly #kept = new Map<string, Kept>();

  private constructor(server: Server, { tls, rootToken = newToken() }: VaultStart) {
    this.#server = server;
    this.#scheme = tls === undefined ? "http" : "https";
    this.rootToken = rootToken;
    this.#tokens.set(this.rootToken, tokenOf({ ttlS: 0 }));
  }

  static async start(as: VaultStart = {}): Promise<FakeVault> {
    const { port = 0, tls } = as;
    const serve = (request: IncomingMessage, response: ServerResponse) => void vault.#serve(request, response);
    const server = tls === undefined ? createHttpServer(serve) : createHttpsServer(tls, serve);
    const vault = new FakeVault(server, as);
    const listening = Promise.withResolvers<void>();
    server.listen(port, "127.0.0.1", listening.resolve);
    await listening.promise;
    return vault;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Puts a secret at a path as it is read, such as `secret/data/acme` for KV version 2. */
  put(path: string, data: Record<string, unknown>, kv: 1 | 2 = path.includes("/data/") ? 2 : 1): void {
    this.#kept.set(path, { kv, data });
  }

  /** Leases what `make` gives at the n-th reading. */
  lease(path: string, terms: { leaseS: number; renewable: boolean; make: (time: number) => Record<string, unknown> }) {
    this.#kept.set(path, { ...terms, times: 0 });
  }

  remove(path: string): void {
    this.#kept.delete(path);
  }

  newToken(terms: TokenTerms): string {
    const token = newToken();
    this.#tokens.set(token, tokenOf(terms));
    return token;
  }

  revokeAll(): void {
    this.#tokens.clear();
  }

  /** How often this was asked. */
  count(method: string, path: string): number {
    return this.asked.filter((asked) => asked.method === method && asked.path === path).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const header = (name: string) => request.headers[name]?.toString();
    const asked: AskedOfVault = {
      method: request.method ?? "",
      path: (request.url ?? "").replace(/^\/v1\//, ""),
      token: header("x-vault-token"),
      namespace: header("x-vault-namespace"),
      body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
    };
    this.asked.push(asked);
    if (this.silent) return;
    if (this.garbled !== undefined) return void response.writeHead(200).end(this.garbled);
    const [status, body] = this.sealed ? [503, { errors: ["Vault is sealed"] }] : this.#answer(asked);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  #answer(asked: AskedOfVault): [number, unknown] {
    const { method, path, body } = asked;
    if (path.endsWith("/login")) return this.#logIn(path, body);
    const token = this.#tokens.get(asked.token ?? "");
    if (token === undefined || token.until < Date.now()) return [403, { errors: ["permission denied"] }];
    if (path === "auth/token/lookup-self")
      return [200, { data: { ttl: leftS(token), renewable: token.renewable, type: "service" } }];
    if (path === "auth/token/renew-self" && method === "POST") return this.#renew(asked.token ?? "", token);
    if (path === "sys/leases/renew" && method === "PUT")
      return [200, { lease_id: body["lease_id"], lease_duration: body["increment"], renewable: true }];
    return method === "GET" ? this.#read(path) : [405, { errors: ["unsupported operation"] }];
  }

  #logIn(path: string, body: Record<string, unknown>): [number, unknown] {
    const known = path === "auth/kubernetes/login" ? this.kubernetes : this.appRole;
    const isRight = Object.entries(known).every(([name, value]) => body[name] === value);
    if (!isRight) return [400, { errors: [`invalid credentials: ${JSON.stringify(body)}`] }];
    const client_token = this.newToken(this.terms);
    const { ttlS, renewable } = this.#tokens.get(client_token) as FakeToken;
    return [200, { auth: { client_token, lease_duration: ttlS, renewable } }];
  }

  #renew(client_token: string, token: FakeToken): [number, unknown] {
    if (!token.renewable) return [400, { errors: ["lease is not renewable"] }];
    token.until = Math.min(token.mostUntil, Date.now() + token.ttlS * 1000);
    return [200, { auth: { client_token, lease_duration: leftS(token), renewable: true } }];
  }

  #read(path: string): [number, unknown] {
    if (this.denied.has(path)) return [403, { errors: [`1 error occurred: permission denied on ${path}`] }];
    const kept = this.#kept.get(path);
    if (kept === undefined) return [404, { errors: [] }];
    if ("kv" in kept) {
      const none = { lease_id: "", lease_duration: kept.kv === 1 ? 2_764_800 : 0, renewable: false };
      const metadata = { created_time: "2026-01-01T00:00:00Z", version: 3, destroyed: false, deletion_time: "" };
      return [200, { ...none, data: kept.kv === 2 ? { data: kept.data, metadata } : kept.data }];
    }
    const { leaseS, renewable, make } = kept;
    const lease_id = `${path}/${randomBytes(8).toString("hex")}`;
    return [200, { lease_id, lease_duration: leaseS, renewable, data: make(++kept.times) }];
  }
}

function newToken(): string {
  return `hvs.${randomBytes(24).toString("base64url")}`;
}

function tokenOf({ ttlS = 3600, renewable = true, mostS = 86_400 }: TokenTerms): FakeToken {
  const now = Date.now();
  return { ttlS, renewable, until: ttlS === 0 ? Infinity : now + ttlS * 1000, mostUntil: now + mostS * 1000 };
}

function leftS({ until }: FakeToken): number {
  return until === Infinity ? 0 : Math.max(0, Math.round((until - Date.now()) / 1000));
}
