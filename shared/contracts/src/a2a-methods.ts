import type { A2aOperation } from "./a2a.ts";

/**
 * What each operation is called: in 1.0 (§9.4), before it, and by seed 001's paths. Whoever names an operation by one of these,
 * in a call or in a limit, means the same.
 */
export const a2aMethodNames: Readonly<Record<A2aOperation, readonly string[]>> = {
  SendMessage: ["SendMessage", "message/send", "tasks/send"],
  SendStreamingMessage: ["SendStreamingMessage", "message/stream", "tasks/sendSubscribe"],
  GetTask: ["GetTask", "tasks/get"],
  CancelTask: ["CancelTask", "tasks/cancel"],
  ListTasks: ["ListTasks", "tasks/list"],
  SubscribeToTask: ["SubscribeToTask", "tasks/resubscribe"],
  CreateTaskPushNotificationConfig: [
    "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/set",
    "tasks/pushNotification/set",
  ],
  GetTaskPushNotificationConfig: [
    "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get",
    "tasks/pushNotification/get",
  ],
  ListTaskPushNotificationConfigs: ["ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"],
  DeleteTaskPushNotificationConfig: ["DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"],
  GetExtendedAgentCard: [
    "GetExtendedAgentCard",
    "agent/getAuthenticatedExtendedCard",
    "agent/authenticatedExtendedCard",
  ],
  GetAgentCard: ["GetAgentCard", "agent-card"],
};

const operations: ReadonlyMap<string, A2aOperation> = new Map(
  Object.entries(a2aMethodNames).flatMap(([operation, names]) =>
    names.map((name) => [name, operation as A2aOperation] as const),
  ),
);

/** The operation that is called so in any revision; undefined where none is. */
export function a2aOperationOf(method: string): A2aOperation | undefined {
  return operations.get(method);
}
