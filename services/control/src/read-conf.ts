import { confSchema, type Conf } from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import { isScalar, LineCounter, parseDocument, visit, type Document, type YAMLError } from "yaml";
import { isAnchorPlace } from "./conf-json-schema.ts";
import { checkSizes } from "./check-sizes.ts";
import { offsetOf, startOf } from "./conf-location.ts";
import { ConfProblems, type Problem } from "./conf-problems.ts";
import { warningsOf } from "./conf-warnings.ts";
import { crossCheck, type Finding } from "./cross-check.ts";
import { findingsOf } from "./issue-findings.ts";
import { offsetWithin } from "./scalar-offset.ts";

export interface ConfSource {
  /** As problems name it. */
  readonly file: string;
  /** Which addresses the configuration may name. */
  readonly guard: AddressGuard;
  /** Gets what is valid and yet most likely not what was meant. */
  readonly warn?: (warning: Problem) => void;
}

/** A broken line makes those after it look broken too. */
const mostSyntaxErrors = 2;
/** Each use of an anchor counts, and in anchors within anchors it multiplies. */
const mostAliases = 10_000;
/** Where keys and secrets stand. */
const secretParts = new Set(["apiKeys", "signing", "credentials"]);

/** Reads a whole `tenants.yaml`, or throws ConfProblems and accepts nothing of it. */
export function readConf(text: string, { file, guard, warn }: ConfSource): Conf {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: true });
  const at = (offset: number, reason: string, path?: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col, ...(path !== undefined && { path }), reason };
  };
  const broken = syntaxErrors(document);
  if (broken.length > 0) throw new ConfProblems(broken.map((error) => at(error.pos[0], wordsOf(error))));
  const special = specialKeyOf(document);
  if (special !== undefined) throw new ConfProblems([at(special, "__proto__ is no name")]);
  const plain = toPlain(document, (reason) => at(0, reason));
  const parsed = confSchema.safeParse(plain);
  const findings = parsed.success
    ? check(parsed.data, guard)
    : parsed.error.issues.flatMap((issue) => findingsOf(issue, (path) => valueAt(plain, path)));
  const tell = ({ path, reason, offset }: Finding) => {
    const within = offset === undefined ? undefined : offsetWithin(document, { text, path, offset });
    const isFound = offset === undefined || within !== undefined;
    const told = isFound ? reason : `${reason} (at character ${offset + 1} of it)`;
    return at(within ?? offsetOf(document, path), told, path.join(".") || "the file");
  };
  if (!parsed.success || findings.length > 0)
    throw new ConfProblems(findings.map(tell), { insecure: findings.some(isInsecure) });
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

function syntaxErrors({ errors, warnings }: Document): YAMLError[] {
  const isRepetition = ({ code }: YAMLError) => code === "DUPLICATE_KEY";
  const others = [...errors, ...warnings].filter((error) => !isRepetition(error));
  return others.length > 0 ? others.slice(0, mostSyntaxErrors) : errors.filter(isRepetition);
}

function wordsOf({ code, message }: YAMLError): string {
  return code === "DUPLICATE_KEY" ? "this key stands here for the second time: keys must be unique" : message;
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

function toPlain(document: Document, problem: (reason: string) => Problem): unknown {
  try {
    const plain: unknown = document.toJS({ maxAliasCount: mostAliases });
    if (typeof plain !== "object" || plain === null || Array.isArray(plain)) return plain;
    return Object.fromEntries(Object.entries(plain).filter(([key]) => !isAnchorPlace(key)));
  } catch (error) {
    throw new ConfProblems([problem((error as Error).message)]);
  }
}

function valueAt(plain: unknown, path: readonly PropertyKey[]): unknown {
  let value = plain;
  for (const part of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return value;
}
