import { Fault, webhookSchema, type Dialect, type Webhook } from "@sluice/contracts";
import { compile, explain, scanAsync, value, type JsonRange } from "@sluice/json";
import type { AddressGuard } from "@sluice/net";
import { z } from "zod";

/** A client's webhook, and what the client calls the configuration. */
export interface GivenWebhook {
  readonly config?: string;
  readonly webhook: Webhook;
}

/** What an agent is told in its place. */
export interface ToldWebhook {
  readonly id: string;
  readonly url: string;
  readonly token: string;
}

/** A message that says where its sender wants to be told. */
export interface InlineWebhook extends GivenWebhook {
  /** The same message with another webhook; every other byte is as it was. */
  readonly replacedBy: (told: ToldWebhook) => Buffer;
}

/**
 * Where messages of any revision and binding have it, in every spelling that some agent may read: what is not found here
 * would reach the agent as it is.
 */
const places = ["taskPushNotificationConfig", "pushNotificationConfig", "pushNotification"].flatMap((name) => {
  const names = [name, name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
  return names.flatMap((one) => [["params", "configuration", one], ["configuration", one], ["params", one], [one]]);
});
const plan = compile(places, []);
/** Some spelling of it, or an escape that could hide one. */
const mayHaveOne = /notification|\\u/i;

const given = z.object({
  id: z.string().optional(),
  url: z.string(),
  token: z.string().nullish(),
  authentication: z
    .object({
      scheme: z.string().optional(),
      schemes: z.array(z.string()).optional(),
      credentials: z.string().nullish(),
    })
    .nullish(),
});

/** The webhook that comes with a message, if one does. @throws Fault `invalid_request` */
export async function inlineWebhook(client: Dialect, body: Buffer): Promise<InlineWebhook | undefined> {
  if (!mayHaveOne.test(body.toString("latin1"))) return undefined;
  const scanned = await scanAsync(body, plan);
  if (!scanned.ok) throw new Fault("parse_error", explain(scanned.error));
  const found = scanned.values.filter((range): range is JsonRange => range !== undefined && range.kind !== "null");
  const [range, ...others] = found;
  if (range === undefined) return undefined;
  if (others.length > 0) throw new Fault("invalid_request", "the message names its webhook more than once");
  const read = readWebhook(value(body, range));
  const before = body.subarray(0, range.start);
  const behind = body.subarray(range.end);
  return {
    ...read,
    replacedBy: (told) => Buffer.concat([before, Buffer.from(JSON.stringify(toldIn(client, told))), behind]),
  };
}

/** As it stands in any revision. @throws Fault `invalid_request` */
export function readWebhook(config: unknown): GivenWebhook {
  const parsed = given.safeParse(config);
  if (!parsed.success) throw unreadable();
  const { id, url, token, authentication } = parsed.data;
  const scheme = authentication?.scheme ?? authentication?.schemes?.[0];
  const webhook = webhookSchema.safeParse({
    url,
    ...(hasText(token) && { token }),
    ...(hasText(scheme) && {
      authentication: {
        scheme,
        ...(hasText(authentication?.credentials) && { credentials: authentication.credentials }),
      },
    }),
  });
  if (!webhook.success) throw unreadable();
  return { webhook: webhook.data, ...(hasText(id) && { config: id }) };
}

/** @throws Fault `invalid_request` for what must not be called, or could not be sent */
export function requireCallable({ url, token, authentication }: Webhook, guard: AddressGuard): void {
  const { protocol, username, password } = URL.canParse(url)
    ? new URL(url)
    : { protocol: "", username: "", password: "" };
  if (protocol !== "https:" && protocol !== "http:") throw refused("must be an http:// or https:// URL");
  if (username !== "" || password !== "")
    throw refused("must hold no user name or password: give them as authentication");
  if (guard.refusalOfUrl(url) !== undefined) throw refused("must be at a public address");
  const fields = [token, authentication?.scheme, authentication?.credentials];
  if (fields.some((field) => field !== undefined && !/^[\x20-\x7e]+$/.test(field)))
    throw refused("has a token or credentials that cannot stand in a header field");
}

const refused = (why: string) => new Fault("invalid_request", `the webhook ${why}`);
const unreadable = () => refused("needs a url, and may have an id, a token and an authentication");

function toldIn({ version }: Dialect, { id, url, token }: ToldWebhook): object {
  return version === "0.1" ? { url, token } : { id, url, token };
}

/** Where a message has an empty text, a reader of the bindings of Protocol Buffers has none. */
function hasText(text: string | null | undefined): text is string {
  return typeof text === "string" && text !== "";
}
