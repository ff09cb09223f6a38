import { confSchema, type Conf } from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument, visit, type Document } from "yaml";
import type { z } from "zod";
import { warningsOf } from "./conf-warnings.ts";
import { crossCheck, type Finding } from "./cross-check.ts";
import { checkSizes } from "./check-sizes.ts";
import { nearestKey } from "./nearest-key.ts";
import { offsetWithin } from "./scalar-offset.ts";

/** The configuration was refused; the message has a line `file:line:column: reason` for each problem. */
export class ConfProblems extends Error {
  override readonly name = "ConfProblems";
  /** Some of it is a key or secret that protects nothing. */
  readonly insecure: boolean;

  constructor(message: string, { insecure = false } = {}) {
    super(message);
    this.insecure = insecure;
  }
}

export interface ConfSource {
  /** As problems name it. */
  readonly file: string;
  /** Which addresses the configuration may name. */
  readonly guard: AddressGuard;
  /** Gets a line of the same form for what is valid and yet most likely not what was meant. */
  readonly warn?: (line: string) => void;
}

/** A broken line makes those after it look broken too. */
const mostSyntaxErrors = 2;
const mostProblems = 20;
const mostAliases = 100;
/** Where keys and secrets stand. */
const secretParts = new Set(["apiKeys", "signing", "credentials"]);

/** Reads a whole `tenants.yaml`, or throws ConfProblems and accepts nothing of it. */
export function readConf(text: string, { file, guard, warn }: ConfSource): Conf {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number, reason: string) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}: ${reason}`;
  };
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0)
    throw refusal(broken.slice(0, mostSyntaxErrors).map((error) => at(error.pos[0], error.message)));
  const special = specialKeyOf(document);
  if (special !== undefined) throw refusal([at(special, "__proto__ is no name")]);
  const parsed = confSchema.safeParse(toPlain(document, file));
  const findings = parsed.success ? check(parsed.data, guard) : parsed.error.issues.flatMap(findingsOf);
  const tell = ({ path, reason, offset }: Finding) => {
    const within = offset === undefined ? undefined : offsetWithin(document, { text, path, offset });
    const place = `${path.join(".") || "the file"}: ${reason}`;
    return at(
      within ?? offsetOf(document, path),
      within === undefined && offset !== undefined ? `${place} (at character ${offset + 1} of it)` : place,
    );
  };
  if (!parsed.success || findings.length > 0) throw refusal(findings.map(tell), findings.some(isInsecure));
  if (warn !== undefined) for (const warning of warningsOf(parsed.data)) warn(tell(warning));
  return parsed.data;
}

function isInsecure({ path }: Finding): boolean {
  return path.some((part) => secretParts.has(String(part)));
}

function check(conf: Conf, guard: AddressGuard): Finding[] {
  const findings = crossCheck(conf, guard);
  return findings.length > 0 ? findings : checkSizes(conf);
}

/** A key that JavaScript takes for something else, and the schema would silently pass over. */
function specialKeyOf(document: Document): number | undefined {
  let offset: number | undefined;
  visit(document, {
    Pair: (_, { key }) => {
      if (isScalar(key) && key.value === "__proto__") offset = startOf(key);
    },
  });
  return offset;
}

function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: mostAliases });
  } catch (error) {
    throw refusal([`${file}:1:1: ${(error as Error).message}`]);
  }
}

function refusal(problems: readonly string[], insecure = false): ConfProblems {
  const more = problems.length - mostProblems;
  return new ConfProblems([...problems.slice(0, mostProblems), ...(more > 0 ? [`and ${more} more`] : [])].join("\n"), {
    insecure,
  });
}

function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const nearest = nearestKey(key);
      return {
        path: [...issue.path, key],
        reason: `unknown key${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
      };
    });
  }
  return [{ path: issue.path, reason: reasonOf(issue) }];
}

function reasonOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_key") return issue.issues[0]?.message ?? issue.message;
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined"))
    return `is missing: it must be of type ${issue.expected}`;
  return issue.message;
}

/** Where the path's last part that exists is written: its key, or the item itself in a list. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part));
      if (!isPair(pair)) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else {
      node = isSeq(node) ? node.items[Number(part)] : undefined;
      offset = startOf(node) ?? offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
