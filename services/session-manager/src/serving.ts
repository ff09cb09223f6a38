import type { Handler, Incoming } from "@sluice/bus";
import { decodeJson } from "@sluice/contracts";
import type { z } from "zod";

/** How questions are served. What can't be decided or kept stays unanswered: the asker closes at its deadline. */
export interface Serving {
  readonly serve: (subject: string, handler: Handler) => void;
  readonly reply: (subject: string, payload: Uint8Array) => void;
  readonly ignored: (reason: string) => void;
}

export function read<Schema extends z.ZodType>(schema: Schema, message: Incoming): z.infer<Schema> | undefined {
  try {
    return schema.safeParse(decodeJson(message.data)).data;
  } catch {
    return undefined;
  }
}
