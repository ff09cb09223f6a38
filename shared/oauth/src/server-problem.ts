import { AddressRefused } from "@sluice/net";
import { JSON_ATTRIBUTE_COMPARISON, UNSUPPORTED_OPERATION } from "oauth4webapi";

const meanings: Readonly<Record<string, string>> = {
  [JSON_ATTRIBUTE_COMPARISON]: "its metadata names another issuer than the configuration",
  [UNSUPPORTED_OPERATION]: "its token is of another type than bearer",
};

/** Why an authorization server was of no use, in words that hold nothing of what was sent or answered. */
export class ServerProblem extends Error {
  override readonly name = "ServerProblem";
  /** HTTP status of the answer, where it was the problem. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }

  /** The secret shown may be an old one: RFC 6749 §5.2 has 401 or 400 for a client that is not known by it. */
  get isAboutClient(): boolean {
    return this.status === 400 || this.status === 401;
  }
}

/** Whether the server could not be reached, was too slow, or said that it is out of order: that is so whatever it was asked. */
export function isOutage(error: unknown): boolean {
  if (error instanceof ServerProblem) return (error.status ?? 0) >= 500;
  const { code } = error as { code?: unknown };
  return !String(code).startsWith("OAUTH_");
}

/** Libraries put answers into their messages and causes; their codes are constants. */
export function problemOf(error: unknown): string {
  if (error instanceof ServerProblem || error instanceof AddressRefused) return error.message;
  const { name, code } = error as { name?: string; code?: unknown };
  if (name === "TimeoutError") return "it did not answer in time";
  const constant = typeof code === "string" ? code : String(name);
  if (constant.startsWith("OAUTH_")) return meanings[constant] ?? `its answer can't be used (${constant})`;
  return `it could not be reached or broke off (${constant})`;
}
