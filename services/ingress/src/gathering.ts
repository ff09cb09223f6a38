import { isStored, natsItself, type Incoming } from "@sluice/bus";
import { decodeJson, Fault, type AdmissionAnswer, type Asked, type LimitVerdict } from "@sluice/contracts";

type Answerer = AdmissionAnswer["by"];
type AnswerOf<By extends Answerer> = Extract<AdmissionAnswer, { by: By }>;
type Answers = { [By in Answerer]?: AnswerOf<By> };

/** The answers to one batch as they come in, in any order. */
export class Gathering {
  readonly #size: number;
  readonly #asked: readonly Answerer[];
  #stored = false;
  #answers: Answers = {};

  constructor(size: number, { policy, limit, session }: Asked) {
    this.#size = size;
    this.#asked = [
      ...(policy ? (["policy"] as const) : []),
      ...(limit ? (["rate-limit"] as const) : []),
      ...(session ? (["session-manager"] as const) : []),
    ];
  }

  /** Whether the message is in the AUDIT stream, as far as it is known. */
  get stored(): boolean {
    return this.#stored;
  }

  get missing(): string[] {
    return [...(this.#stored ? [] : ["audit stream"]), ...this.#asked.filter((by) => this.#answers[by] === undefined)];
  }

  get complete(): boolean {
    return this.#stored && this.#asked.every((by) => this.#answers[by] !== undefined);
  }

  /** Whose answer it is says NATS, not the answer. Takes it in; returns why nobody can be admitted, if so. */
  take(message: Incoming): Fault | undefined {
    if (message.from === natsItself) {
      this.#stored = isStored(message);
      return this.#stored ? undefined : new Fault("unavailable", "the call could not be recorded");
    }
    if (!this.#asked.some((by) => by === message.from)) return undefined;
    const answer = decodeJson<AdmissionAnswer>(message.data);
    if (answer.by !== message.from) return undefined;
    if (answer.verdicts.length !== this.#size) return new Fault("internal", `${message.from} answered something else`);
    this.#answers = { ...this.#answers, [answer.by]: answer };
    return undefined;
  }

  of<By extends Answerer>(by: By): AnswerOf<By> | undefined {
    return this.#answers[by];
  }

  /** Who decided under an older configuration than this version; undefined where nobody did. */
  outdated(version: number): Asked | undefined {
    const isOld = (by: "policy" | "rate-limit") => {
      const answer = this.#answers[by];
      return answer !== undefined && !(answer.version >= version);
    };
    const asked: Asked = { policy: isOld("policy"), limit: isOld("rate-limit"), session: false };
    return asked.policy || asked.limit ? asked : undefined;
  }

  /** Leaves these answers out, so that they can be asked for again; gives back what was counted. */
  forget({ policy, limit }: Asked): readonly LimitVerdict[] {
    const counted = limit ? (this.#answers["rate-limit"]?.verdicts ?? []) : [];
    if (policy) delete this.#answers.policy;
    if (limit) delete this.#answers["rate-limit"];
    return counted;
  }
}
