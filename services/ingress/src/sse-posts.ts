import { openBody, sendBody, type Bus, type Incoming, type WaitFailure } from "@sluice/bus";
import {
  chunkBytes,
  decodeHeadAndBody,
  decodeJson,
  encodeHeadAndBody,
  encodeJson,
  Fault,
  subjects,
  toFault,
  type FaultDetails,
  type FaultKind,
} from "@sluice/contracts";
import { Body } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import type { Principal } from "./tenants.ts";

/** How long the owner of a session may take to say what becomes of a message. */
const wordMs = 5_000;
const bodyIdleTimeoutMs = 30_000;
const noBody = Buffer.alloc(0);

/** A message for an event stream, without what its sender authenticated with. */
export interface PostedHead {
  readonly session: string;
  /** As the replica that got the message verified it. */
  readonly principal: Pick<Principal, "tenant" | "agent" | "servers">;
  readonly identity: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** On the bus: `bytes` of body that follow, where they do not fit the message. */
interface HandedHead extends PostedHead {
  readonly bytes?: number;
}

/** What the owner says: it sends its body there, it is accepted, or it is not. */
type OwnerWord =
  | { readonly to: string }
  | { readonly accepted: true }
  | { readonly fault: { readonly kind: FaultKind; readonly message: string; readonly details: FaultDetails } };

export interface SsePostsOptions {
  readonly bus: Bus;
  readonly budget: BodyBudget;
  /** Takes a message for a session of this replica. @throws Fault */
  readonly accept: (head: PostedHead, body: Body) => Promise<void>;
}

/** Hands messages to the replica that has their session's event stream, and takes those that others hand to this one. */
export class SsePosts {
  readonly #options: SsePostsOptions;

  constructor(options: SsePostsOptions) {
    this.#options = options;
    const { bus } = options;
    bus.listen(subjects.ownIngress(bus.instance, "post"), (message) => this.#take(message));
  }

  /** Resolves when the owner accepted the message. @throws Fault with the owner's reason; `session_not_found` where it is gone. */
  async hand(owner: string, head: PostedHead, body: Body): Promise<void> {
    const { bus } = this.#options;
    const done = Promise.withResolvers<void>();
    const large = body.length > chunkBytes;
    const inbox = bus.inbox.open({
      from: "ingress",
      timeoutMs: wordMs,
      onMessage: ({ data }) => {
        const word = decodeJson<OwnerWord>(data);
        if ("to" in word) {
          inbox.extend(bodyIdleTimeoutMs);
          sendBody(bus, [body.bytes], { to: word.to, idleTimeoutMs: bodyIdleTimeoutMs }).catch(done.reject);
        } else if ("fault" in word) done.reject(new Fault(word.fault.kind, word.fault.message, word.fault));
        else done.resolve();
      },
      onFailure: (fault, reason) => done.reject(silence(fault, reason)),
    });
    try {
      const sent: HandedHead = large ? { ...head, bytes: body.length } : head;
      const message = encodeHeadAndBody(sent, large ? noBody : body.bytes);
      bus.tell(subjects.ownIngress(owner, "post"), message, { reply: inbox.subject });
      await done.promise;
    } finally {
      inbox.close();
    }
  }

  async #take({ data, reply }: Incoming): Promise<void> {
    if (reply === undefined) return;
    const { bus, accept } = this.#options;
    const answer = (word: OwnerWord) => {
      if (bus.connected) bus.tell(reply, encodeJson(word));
    };
    try {
      const { head, body } = decodeHeadAndBody<HandedHead>(data);
      if (head.bytes === undefined) await accept(head, new Body(Buffer.from(body)));
      else await this.#receive({ ...head, bytes: head.bytes }, answer);
      answer({ accepted: true });
    } catch (error) {
      const { kind, message, details } = toFault(error);
      answer({ fault: { kind, message, details } });
    }
  }

  async #receive(head: PostedHead & { bytes: number }, answer: (word: OwnerWord) => void): Promise<void> {
    const { bus, budget, accept } = this.#options;
    const hold = budget.of(head.principal).open();
    hold.resize(head.bytes);
    const arriving = openBody(bus, { from: "ingress", idleTimeoutMs: bodyIdleTimeoutMs });
    try {
      answer({ to: arriving.to });
      const chunks: Buffer[] = [];
      for await (const chunk of arriving.chunks) chunks.push(chunk);
      using body = new Body(Buffer.concat(chunks));
      await accept(head, body);
    } finally {
      arriving.close();
      hold.release();
    }
  }
}

/** Only where nobody has the subject is it certain that the owner is gone. */
function silence(fault: Fault, reason: WaitFailure): Fault {
  if (reason !== "nobody") return fault;
  return new Fault("session_not_found", "the session is unknown or has ended: open a new event stream");
}
