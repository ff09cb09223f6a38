import type { Owner } from "./sessions.ts";

interface PushConfigClaim extends Owner {
  /** The upstream's id of the task, which is the caller's; absent where the call makes it. */
  readonly task: string | undefined;
  /** As the caller names it. */
  readonly pushConfig: string;
  /** One of `a2aOperations`. */
  readonly method: string;
}

/** Push configurations of tasks. */
export interface PushConfigs {
  /** Whether the call may go on with it: it is the task's, or the call makes it. */
  has(claim: PushConfigClaim): Promise<boolean>;
}

/** Where none are kept: a call may only make one. */
export const noPushConfigs: PushConfigs = {
  has: ({ method }) => Promise.resolve(method === "CreateTaskPushNotificationConfig" || method.startsWith("Send")),
};
