import { z } from "zod";
import { a2aBindings, a2aVersions } from "./a2a.ts";
import { confName } from "./conf-name.ts";
import type { endpointSchema } from "./conf.ts";

/** How long a stream may be silent. */
export const idleTimeoutMs = z.int().min(1_000).max(86_400_000);

/** Subscriptions to long tasks may be silent for this long (seed 001, Gotchas). */
const subscriptionIdleMs = 3_600_000;

/** Paths below /a2a that are no agent's. */
const ownPaths = ["agent-card", "tasks", "message", "push"];

const address = z.url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" });

const publicKey = /^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/;

/** An agent's endpoint says where it is by its URL or its card, and by the card where its signature is required. */
function saysWhere({ value, issues }: z.core.ParsePayload<Where>): void {
  const refuse = (path: string, message: string) =>
    issues.push({ code: "custom", message, path: [path], input: value });
  if (value.cardSignature === "required" && value.card === undefined)
    refuse("cardSignature", "required needs card: what only has a url is called without looking at its card");
  if (value.url === undefined && value.card === undefined) refuse("url", "is missing: give url or card");
  if (value.url !== undefined && value.card !== undefined) refuse("card", "give url or card, not both");
}

interface Where {
  readonly url?: string | undefined;
  readonly card?: string | undefined;
  readonly cardSignature: string;
}

/** One agent behind the gateway, as egress knows it. */
export type A2aEndpoint = z.infer<ReturnType<typeof a2aSchemaOf>>["endpoints"][number];

/** The agents behind the gateway. What they share with MCP endpoints is the same in both. */
export const a2aSchemaOf = ({
  signing,
  credentials,
  tls,
  responseTimeoutMs,
  forwardHeaders,
  maxPayloadBytes,
}: (typeof endpointSchema)["shape"]) =>
  z.strictObject({
    /** The endpoint that seed 001's paths are about; the first unless said. */
    defaultAgent: z.string().optional(),
    endpoints: z
      .array(
        z
          .strictObject({
            name: confName.refine(
              (text) => !ownPaths.includes(text),
              "is a path of the gateway's own: choose another name",
            ),
            /** Where it takes calls. */
            url: address.optional(),
            /** Where its agent card is, which says where it takes calls. */
            card: address.optional(),
            /** The revision that is spoken to it; without one its card says, and 1.0 goes where only a url is known. */
            version: z
              .enum(a2aVersions, { error: 'must be one of "0.1", "0.2", "0.3" and "1.0", in quotation marks' })
              .optional(),
            /** The binding that is spoken to it; without one its card says, and JSON-RPC goes where only a url is known. */
            binding: z.enum(a2aBindings).optional(),
            /** Its card is shown to those who do not say who they are, with the skills that every agent may see. */
            publicCard: z.boolean().default(true),
            /** What a signature of its card is worth: `required`, nothing is sent to it without a good one; `verify`, a bad one is told; `off`. */
            cardSignature: z.enum(["required", "verify", "off"]).default("verify"),
            /** Public keys in PEM that its card is signed with; without them those at an address of its own origin count. */
            cardKeys: z
              .array(z.string().regex(publicKey, "must be a public key in PEM (BEGIN PUBLIC KEY)"))
              .min(1)
              .max(8)
              .optional(),
            signing,
            credentials,
            tls,
            responseTimeoutMs,
            /** The longest silence of a subscription. */
            idleTimeoutMs: idleTimeoutMs.default(subscriptionIdleMs),
            maxPayloadBytes,
            forwardHeaders,
          })
          .check(saysWhere),
      )
      .default([]),
  });
