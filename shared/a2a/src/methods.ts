import { a2aOperations, a2aVersions, Fault, type A2aOperation, type A2aVersion } from "@sluice/contracts";

type Methods = Readonly<Partial<Record<A2aOperation, string>>>;

const sharedMethods = {
  GetTask: "tasks/get",
  CancelTask: "tasks/cancel",
  SubscribeToTask: "tasks/resubscribe",
} as const;
const before03 = {
  ...sharedMethods,
  SendMessage: "message/send",
  SendStreamingMessage: "message/stream",
  CreateTaskPushNotificationConfig: "tasks/pushNotificationConfig/set",
  GetTaskPushNotificationConfig: "tasks/pushNotificationConfig/get",
  ListTaskPushNotificationConfigs: "tasks/pushNotificationConfig/list",
  DeleteTaskPushNotificationConfig: "tasks/pushNotificationConfig/delete",
} as const;

/** What each revision's JSON-RPC binding calls an operation; what it lacks stands nowhere. */
const methods: Readonly<Record<A2aVersion, Methods>> = {
  "0.1": {
    ...sharedMethods,
    SendMessage: "tasks/send",
    SendStreamingMessage: "tasks/sendSubscribe",
    CreateTaskPushNotificationConfig: "tasks/pushNotification/set",
    GetTaskPushNotificationConfig: "tasks/pushNotification/get",
  },
  "0.2": before03,
  "0.3": { ...before03, GetExtendedAgentCard: "agent/getAuthenticatedExtendedCard" },
  "1.0": sameNames(a2aOperations.filter((operation) => operation !== "GetAgentCard")),
};

interface KnownMethod {
  readonly operation: A2aOperation;
  readonly versions: A2aVersion[];
}

const byName = new Map<string, KnownMethod>();
for (const version of a2aVersions) {
  for (const [operation, name] of Object.entries(methods[version]) as [A2aOperation, string][]) {
    const known = byName.get(name);
    if (known === undefined) byName.set(name, { operation, versions: [version] });
    else known.versions.push(version);
  }
}

/** The operation that a JSON-RPC method names, and the revisions that have it, oldest first. */
export function methodNamed(name: string): Readonly<KnownMethod> | undefined {
  return byName.get(name);
}

/** @throws Fault `unsupported_operation` where the revision has no such method. */
export function methodName(version: A2aVersion, operation: A2aOperation): string {
  const name = methods[version][operation];
  if (name === undefined) throw new Fault("unsupported_operation", `A2A ${version} has no ${operation} over JSON-RPC`);
  return name;
}

/** What `A2A-Version` says; undefined where it says nothing. Digits of a patch do not count. @throws Fault `version_not_supported` */
export function readVersion(said: string | undefined): A2aVersion | undefined {
  const value = said?.trim();
  if (value === undefined || value === "") return undefined;
  const [, minor] = /^(\d{1,4}\.\d{1,4})(?:\.\d{1,6})?$/.exec(value) ?? [];
  const version = a2aVersions.find((known) => known === minor);
  if (version === undefined) {
    throw new Fault("version_not_supported", `A2A-Version must be one of ${a2aVersions.join(", ")}`, {
      details: { supported: a2aVersions },
    });
  }
  return version;
}

function sameNames(operations: readonly A2aOperation[]): Methods {
  return Object.fromEntries(operations.map((operation) => [operation, operation]));
}
