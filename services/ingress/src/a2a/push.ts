import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { storeWhereRoom, type Bus } from "@sluice/bus";
import {
  encodeHeadAndBody,
  Fault,
  isPushToken,
  readPushHandle,
  subjects,
  type PushHandle,
  type PushHead,
  type PushKeys,
} from "@sluice/contracts";
import { compile, explain, scanAsync } from "@sluice/json";
import type { BaseConfig, Context } from "@sluice/runtime";
import { readBody } from "../body.ts";
import type { BodyBudget } from "../budget.ts";
import type { IngressConfig } from "../config.ts";
import { methodRefusal, others, type Fail } from "../doors.ts";
import { PushRoom, tooMany } from "./push-room.ts";

const pushPath = "/a2a/push/:handle";

const storeTimeoutMs = 3_000;
const json = /^application\/(?:a2a\+)?json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-8"?[ \t]*)?$/i;
const anything = compile([[]], []);

interface ReceiverParts {
  readonly bus: Bus;
  readonly keys: PushKeys;
  readonly room: PushRoom;
  readonly budget: BodyBudget;
  readonly maxBytes: number;
}

/** Takes what agents tell of tasks, and answers once it is stored. */
export class PushReceiver {
  readonly #parts: ReceiverParts;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /** @throws Fault, before anything is said on the bus where too much comes */
  async take(request: IncomingMessage, told: PushHandle): Promise<void> {
    const { bus, room } = this.#parts;
    room.requirePace(told.id);
    requireJson(request);
    using body = await readBody(request, { limit: this.#parts.maxBytes, budget: this.#budgetOf(told) });
    const checked = await scanAsync(body.bytes, anything);
    if (!checked.ok) throw new Fault("parse_error", explain(checked.error));
    if (checked.root.kind !== "object") throw new Fault("invalid_request", "a notification is a JSON object");
    const head: PushHead = { id: told.id, at: Date.now(), ...traceOf(request) };
    const message = { subject: subjects.push(told), payload: encodeHeadAndBody(head, body.bytes) };
    await room.requireShare(told.tenant, { subject: message.subject, bytes: message.payload.length });
    if (!(await storeWhereRoom(bus, message, storeTimeoutMs))) throw tooMany(30);
  }

  /** Whom it is for. The token is the agent's to send or not; one that it was not told is somebody else's. @throws Fault `unauthorized` for a handle that is forged or over */
  enter({ headers }: IncomingMessage, handle: string): PushHandle {
    const { keys } = this.#parts;
    const told = readPushHandle(keys, handle, Date.now());
    const { "x-a2a-notification-token": token } = headers;
    const isForeign = token !== undefined && (told === undefined || !isPushToken(keys, told.id, String(token)));
    if (told === undefined || isForeign) throw new Fault("unauthorized", "this is no address for push notifications");
    return told;
  }

  #budgetOf({ tenant, id }: PushHandle) {
    return this.#parts.budget.of({ tenant: `push ${tenant}`, agent: { id } });
  }
}

/** Undefined where no key is set: then there are no push notifications. */
export function openPushReceiver(
  { bus, config }: Context<IngressConfig & BaseConfig>,
  budget: BodyBudget,
): PushReceiver | undefined {
  const { PUSH_SIGNING_KEY: keys, PUSH_MAX_PER_MINUTE: perMinute } = config;
  if (keys === undefined) return undefined;
  const perTenant = { messages: config.PUSH_MAX_WAITING_PER_TENANT, bytes: config.PUSH_MAX_BYTES_PER_TENANT };
  const room = new PushRoom(bus, { perMinute, perTenant });
  return new PushReceiver({ bus, keys, room, budget, maxBytes: config.PUSH_MAX_BODY_BYTES });
}

/** What agents call the gateway, where they have an address of their own for it. */
export function pushHosts({ PUSH_PUBLIC_URL: url }: IngressConfig): string[] {
  return url === undefined ? [] : [new URL(url).host];
}

type PushRequest = FastifyRequest<{ Params: { handle: string } }>;

/** The one path that agents behind the gateway come to: its last part says who may. */
export function addPushRoute(app: FastifyInstance, receiver: PushReceiver | undefined, fail: Fail): void {
  const config = { provesItself: true };
  const carry = async (request: PushRequest, reply: FastifyReply) => {
    if (receiver === undefined) throw new Fault("unauthorized", "there are no push notifications here");
    const { raw, params } = request;
    const told = receiver.enter(raw, params.handle);
    request.tenant = told.tenant;
    await receiver.take(raw, told);
    reply.raw.writeHead(200, { "content-length": 0 }).end();
  };
  app.post(pushPath, { config }, (request: PushRequest, reply) => {
    reply.hijack();
    carry(request, reply).catch((error: unknown) => fail(reply, error));
  });
  app.route({
    ...others(pushPath, ["POST"]),
    handler: (_request, reply) => fail(reply, methodRefusal(reply, ["POST"])),
  });
}

/** @throws Fault `unsupported_media_type` */
function requireJson({ headers }: IncomingMessage): void {
  const { "content-type": type, "content-encoding": encoding } = headers;
  if (encoding !== undefined && encoding.toLowerCase() !== "identity")
    throw new Fault("unsupported_media_type", "send the body without Content-Encoding");
  if (type === undefined || !json.test(type))
    throw new Fault("unsupported_media_type", "send Content-Type: application/json or application/a2a+json");
}

/** A trace context that is none is not passed on (W3C Trace Context). */
function traceOf({ headers }: IncomingMessage): Pick<PushHead, "traceparent"> {
  const { traceparent } = headers;
  const isOne = typeof traceparent === "string" && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent);
  return isOne ? { traceparent } : {};
}
