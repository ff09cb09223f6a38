import { hash } from "node:crypto";
import { Fault } from "@sluice/contracts";
import { canonicalJson, parseExact } from "@sluice/json";

/** A tool as its server defines it: all of it counts. */
export interface Definition {
  readonly tool: string;
  /** SHA-256 of the text, in hex. */
  readonly hash: string;
  /** Canonical JSON (RFC 8785). */
  readonly text: string;
}

/** @throws Fault `upstream_failed` for what cannot be written down, such as one nested too deep. */
export function definitionOf(tool: string, item: unknown): Definition {
  try {
    const text = canonicalJson(item);
    return { tool, hash: hash("sha256", text, "hex"), text };
  } catch (error) {
    throw new Fault("upstream_failed", "the definition of a tool cannot be read", { cause: error });
  }
}

/** The same from its bytes. @throws Fault `upstream_failed` */
export function definitionIn(tool: string, bytes: Buffer): Definition {
  try {
    return definitionOf(tool, parseExact(bytes.toString("utf8")));
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("upstream_failed", "the definition of a tool cannot be read", { cause: error });
  }
}
