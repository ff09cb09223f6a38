import { z } from "zod";
import { confName } from "./conf-name.ts";
import type { endpointSchema } from "./conf.ts";

/** The revisions of A2A that an endpoint can be pinned to. */
const a2aVersions = ["0.1", "0.2", "0.3", "1.0"] as const;

/** How long a stream may be silent. */
export const idleTimeoutMs = z.int().min(1_000).max(86_400_000);

/** Subscriptions to long tasks may be silent for this long (seed 001, Gotchas). */
const subscriptionIdleMs = 3_600_000;

/** Paths below /a2a that are no agent's. */
const ownPaths = ["agent-card", "tasks", "message"];

const address = z.url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" });

/** The agents behind the gateway. What they share with MCP endpoints is the same in both. */
export const a2aSchemaOf = ({
  signing,
  credentials,
  responseTimeoutMs,
  forwardHeaders,
  maxPayloadBytes,
}: (typeof endpointSchema)["shape"]) =>
  z.strictObject({
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
            /** What agents see of it speaks this revision, whatever it speaks itself. */
            version: z
              .enum(a2aVersions, { error: 'must be one of "0.1", "0.2", "0.3" and "1.0", in quotation marks' })
              .optional(),
            signing,
            credentials,
            responseTimeoutMs,
            /** The longest silence of a subscription. */
            idleTimeoutMs: idleTimeoutMs.default(subscriptionIdleMs),
            maxPayloadBytes,
            forwardHeaders,
          })
          .check(({ value, issues }) => {
            const given = [value.url, value.card].filter((one) => one !== undefined).length;
            const message = given === 0 ? "is missing: give url or card" : "give url or card, not both";
            if (given !== 1)
              issues.push({ code: "custom", message, path: [given === 0 ? "url" : "card"], input: value });
          }),
      )
      .default([]),
  });
