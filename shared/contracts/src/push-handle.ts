import { createHmac, timingSafeEqual } from "node:crypto";
import { tenantToken } from "./subjects.ts";

/** What an agent's address of the gateway says: whose it is, which, and until when. */
export interface PushHandle {
  /** Stands for the tenant, as in subjects. */
  readonly tenant: string;
  readonly id: string;
}

/** The first key signs; each of them opens. */
export type PushKeys = readonly Buffer[];

const form = /^([0-9a-f]{16})\.([\w-]{22})\.([0-9a-z]{1,9})\.([\w-]{43})$/;

/**
 * The last part of the address that an agent is told: it proves itself to whoever has the keys.
 * @param expiresAt Unix milliseconds
 */
export function pushHandle([key]: PushKeys, told: { tenant: string; id: string; expiresAt: number }): string {
  if (key === undefined) throw new RangeError("there is no key");
  const claims = [tenantToken(told.tenant), told.id, Math.ceil(told.expiresAt / 1_000).toString(36)].join(".");
  return `${claims}.${macOf(key, handleText(claims)).toString("base64url")}`;
}

/** Undefined for what is forged, or over. */
export function readPushHandle(keys: PushKeys, handle: string, now: number): PushHandle | undefined {
  const [, tenant, id, expiry, mac] = form.exec(handle) ?? [];
  if (tenant === undefined || id === undefined || expiry === undefined || mac === undefined) return undefined;
  if (!isMac(keys, mac, handleText(`${tenant}.${id}.${expiry}`))) return undefined;
  return Number.parseInt(expiry, 36) * 1_000 > now ? { tenant, id } : undefined;
}

/** The token that the agent is asked to send with its notifications. */
export function pushToken([key]: PushKeys, id: string): string {
  if (key === undefined) throw new RangeError("there is no key");
  return macOf(key, tokenText(id)).toString("base64url");
}

export function isPushToken(keys: PushKeys, id: string, token: string): boolean {
  return isMac(keys, token, tokenText(id));
}

/** Neither is ever the other. */
const handleText = (claims: string) => `sluice push handle v1\n${claims}`;
const tokenText = (id: string) => `sluice push token v1\n${id}`;

function macOf(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function isMac(keys: PushKeys, mac: string, text: string): boolean {
  const given = Buffer.from(mac, "base64url");
  return keys.some((key) => {
    const wanted = macOf(key, text);
    return wanted.length === given.length && timingSafeEqual(wanted, given);
  });
}
