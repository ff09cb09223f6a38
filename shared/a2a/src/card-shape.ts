import { isRawNumber } from "@sluice/json";

/** Members of agent cards, as the revisions name them (A2A 1.0 §4.4, 0.3 §5.5). */

/** An object of JSON. */
export type Members = Readonly<Record<string, unknown>>;

export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawNumber(value);
}

/** Said in other words by each revision, or by each side of the gateway: never taken over as they are. */
export const rewritten: ReadonlySet<string> = new Set([
  ...["url", "preferredTransport", "additionalInterfaces", "supportedInterfaces", "protocolVersion"],
  ...["securitySchemes", "security", "securityRequirements", "authentication", "signatures"],
  ...["capabilities", "skills", "supportsAuthenticatedExtendedCard"],
]);

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isFlag: Check = (value) => typeof value === "boolean";
/** What a client may open: anything but http and https runs something, or reads a file, where it is opened. */
const isWebAddress: Check = (value) => {
  if (typeof value !== "string" || !/^https?:\/\//i.test(value)) return false;
  return URL.canParse(value);
};

/** What is known of a card's own members; one of another type is left out. */
export const cardChecks: ReadonlyMap<string, Check> = new Map([
  ["name", isText],
  ["description", isText],
  ["version", isText],
  ["documentationUrl", isWebAddress],
  ["iconUrl", isWebAddress],
  ["provider", isMembers],
  ["defaultInputModes", isTexts],
  ["defaultOutputModes", isTexts],
]);

export const providerChecks: ReadonlyMap<string, Check> = new Map([
  ["organization", isText],
  ["url", isWebAddress],
]);

export const capabilityChecks: ReadonlyMap<string, Check> = new Map([
  ["streaming", isFlag],
  ["pushNotifications", isFlag],
  ["stateTransitionHistory", isFlag],
  ["extendedAgentCard", isFlag],
  ["extensions", (value) => Array.isArray(value) && value.every((one) => isMembers(one) && isText(one["uri"]))],
]);

export const skillChecks: ReadonlyMap<string, Check> = new Map([
  ["id", isText],
  ["name", isText],
  ["description", isText],
  ["tags", isTexts],
  ["examples", isTexts],
  ["inputModes", isTexts],
  ["outputModes", isTexts],
]);

/** The members that pass; those that nobody here knows do. */
export function passing(members: Members, checks: ReadonlyMap<string, Check>): Members {
  return Object.fromEntries(Object.entries(members).filter(([name, value]) => checks.get(name)?.(value) !== false));
}

/** The same without some members. */
export function without(members: Members, names: ReadonlySet<string>): Members {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.has(name)));
}
