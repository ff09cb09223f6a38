import { auditorStream, serviceNames, streams, subjects, type ServiceName } from "@sluice/contracts";
import { permissionsOf, type Permissions } from "./permissions.ts";

/** Of everything that is Sluice's own. */
const ownAccount = "SLUICE";

export interface NatsAccounts {
  /** Gives the text that stands for a service's password: a literal, or `$VARIABLE` of the server's environment. */
  readonly password: (service: ServiceName) => string;
  /** Logs that somebody reads who is no service, each with the text for the password of its user `auditor-<log>`. */
  readonly auditors?: ReadonlyMap<string, string>;
}

/**
 * The `accounts` block for nats-server. Services are users of one account, each with its own subjects. Each auditor has an
 * account apart, with a copy of one log's part of TRAIL that the server keeps by itself: a consumer can have its messages delivered
 * anywhere in its account, so that who makes consumers must be alone in it.
 */
export function accountsBlock({ password, auditors = new Map() }: NatsAccounts): string {
  const users = serviceNames.map((service) => userOf(service, password(service), permissionsOf(service)));
  const logs = [...auditors.keys()];
  const own = accountOf(ownAccount, {
    users,
    exports: [
      ...logs.flatMap((log) => [
        `{ service: ${quoted(sourceOf(log))}, accounts: [${accountNameOf(log)}] }`,
        `{ stream: ${quoted(subjects.auditorCopy(log, ">"))}, accounts: [${accountNameOf(log)}] }`,
      ]),
      ...(logs.length > 0 ? [`{ service: "${flowControl}", accounts: [${logs.map(accountNameOf).join(", ")}] }`] : []),
    ],
    imports: logs.map(
      (log) =>
        `{ service: { account: ${accountNameOf(log)}, subject: "$JS.API.>" }, to: ${quoted(subjects.auditorApi(log, ">"))} }`,
    ),
  });
  const theirs = [...auditors].map(([log, secret]) =>
    accountOf(accountNameOf(log), {
      users: [userOf(`auditor-${log}`, secret, auditorPermissions)],
      exports: [`{ service: "$JS.API.>", accounts: [${ownAccount}] }`],
      imports: [
        `{ service: { account: ${ownAccount}, subject: ${quoted(sourceOf(log))} }, to: ${quoted(`${auditorSource}.${sourceVerb(log)}`)} }`,
        `{ service: { account: ${ownAccount}, subject: "${flowControl}" } }`,
        `{ stream: { account: ${ownAccount}, subject: ${quoted(subjects.auditorCopy(log, ">"))} } }`,
      ],
    }),
  );
  return `accounts {\n${[own, ...theirs].join("\n")}\n}\n`;
}

/** Under which subject an auditor's account reaches the API of the stream that its copy is made of. */
export const auditorSource = "gw.source";
const flowControl = `$JS.FC.${streams.trail.name}.>`;
const quoted = (text: string) => JSON.stringify(text);
const accountNameOf = (log: string) => quoted(`AUDITOR_${log}`);
/** A consumer of this log's part of TRAIL and of no other. */
const sourceVerb = (log: string) => `CONSUMER.CREATE.${streams.trail.name}.*.${subjects.trail(log)}`;
const sourceOf = (log: string) => `$JS.API.${sourceVerb(log)}`;

/** Reads the copy from any place, and changes nothing. */
const auditorPermissions: Permissions = {
  publish: [
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    `$JS.API.STREAM.INFO.${auditorStream}`,
    `$JS.API.STREAM.MSG.GET.${auditorStream}`,
    `$JS.API.CONSUMER.*.${auditorStream}`,
    `$JS.API.CONSUMER.*.${auditorStream}.>`,
    `$JS.API.CONSUMER.DURABLE.CREATE.${auditorStream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${auditorStream}.*`,
    `$JS.ACK.${auditorStream}.>`,
    `$JS.FC.${auditorStream}.>`,
  ],
  subscribe: ["_INBOX.>"],
};

interface Account {
  readonly users: readonly string[];
  readonly exports: readonly string[];
  readonly imports: readonly string[];
}

function accountOf(name: string, parts: Account): string {
  const lists = Object.entries(parts).map(([what, items]: [string, readonly string[]]) =>
    items.length === 0 ? "" : `    ${what}: [\n${items.map((item) => `      ${item}`).join(",\n")}\n    ]\n`,
  );
  return `  ${name} {\n    jetstream: enabled\n${lists.join("")}  }`;
}

function userOf(user: string, password: string, { publish, subscribe }: Permissions): string {
  const list = (all: readonly string[]) => `[${all.map(quoted).join(", ")}]`;
  const permissions = `{ publish: { allow: ${list(publish)} }, subscribe: { allow: ${list(subscribe)} } }`;
  return `{ user: ${quoted(user)}, password: ${password}, permissions: ${permissions} }`;
}
