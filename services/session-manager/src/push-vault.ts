import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { webhookSchema, type Webhook } from "@sluice/contracts";

/** What a webhook is bound to: in another's place it cannot be opened (A32). */
export interface WebhookPlace {
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
  /** Absent until it is bound. */
  readonly task?: string | undefined;
  readonly config?: string | undefined;
  readonly id: string;
}

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;

/** Encrypts webhooks with the first key (AES-256-GCM), and opens them with any. */
export class PushVault {
  readonly #keys: readonly [Buffer, ...Buffer[]];

  constructor(keys: readonly [Buffer, ...Buffer[]]) {
    this.#keys = keys;
  }

  seal(place: WebhookPlace, webhook: Webhook): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#keys[0], nonce, { authTagLength: tagBytes });
    cipher.setAAD(aadOf(place));
    const sealed = Buffer.concat([cipher.update(JSON.stringify(webhook), "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
  }

  /** @throws Error for what was sealed with none of the keys, in another place, or was changed since */
  open(place: WebhookPlace, sealed: Buffer): Webhook {
    for (const key of this.#keys) {
      const text = opened(key, place, sealed);
      if (text !== undefined) return webhookSchema.parse(JSON.parse(text));
    }
    throw new Error(
      "a webhook cannot be decrypted: PUSH_ENCRYPTION_KEY is another than it was encrypted with, or the row was changed",
    );
  }
}

function opened(key: Buffer, place: WebhookPlace, sealed: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAAD(aadOf(place));
    decipher.setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes + tagBytes)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}

function aadOf({ tenant, identity, server, task, config, id }: WebhookPlace): Buffer {
  return Buffer.from(JSON.stringify([tenant, identity, server, task ?? null, config ?? null, id]));
}
