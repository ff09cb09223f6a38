import { isObject, member, textOf, type JsonObject } from "./json-object.ts";

/** `configuration` of a send and push configurations, to and from 0.2 and later. */

/** What a message's configuration calls its webhook, before 1.0. */
type Webhook = "pushNotificationConfig" | "pushNotification";

/** 1.0 waits unless told; before, a configuration that does not say `blocking` means not to wait (as the SDKs read it). */
export function readConfiguration(configuration: unknown, webhook: Webhook): unknown {
  if (!isObject(configuration)) return configuration ?? undefined;
  const { blocking, [webhook]: config, ...rest } = configuration;
  return {
    ...rest,
    returnImmediately: blocking !== true,
    ...(isObject(config) && { taskPushNotificationConfig: readPushDetails(config) }),
  };
}

export function writeConfiguration(configuration: unknown, webhook: Webhook): JsonObject {
  const { returnImmediately, taskPushNotificationConfig, ...rest } = isObject(configuration)
    ? configuration
    : ({} as JsonObject);
  return {
    ...rest,
    blocking: returnImmediately !== true,
    ...(isObject(taskPushNotificationConfig) && { [webhook]: writePushDetails(taskPushNotificationConfig) }),
  };
}

/** Where a webhook is and how to authenticate there; 1.0 has one scheme where older revisions have a list to choose from. */
export function readPushDetails(config: JsonObject): JsonObject {
  const { authentication, ...rest } = config;
  if (!isObject(authentication)) return rest;
  const { schemes, ...told } = authentication;
  const scheme = Array.isArray(schemes) ? textOf(schemes[0]) : undefined;
  return { ...rest, authentication: { ...told, ...member("scheme", scheme) } };
}

export function writePushDetails(config: JsonObject): JsonObject {
  const { authentication, taskId: _taskId, tenant: _tenant, ...rest } = config;
  if (!isObject(authentication)) return rest;
  const { scheme, ...told } = authentication;
  const schemes = textOf(scheme) === undefined ? [] : [scheme];
  return { ...rest, authentication: { ...told, schemes } };
}
