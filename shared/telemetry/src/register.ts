import { collectSpans } from "./trace.ts";

/**
 * Loaded with `node --import` in front of a service. Exports traces where OpenTelemetry's own variables ask for it
 * (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER); otherwise the SDK is not even loaded.
 */
const wanted =
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] ??
  process.env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] ??
  process.env["OTEL_TRACES_EXPORTER"];

if (wanted !== undefined && process.env["OTEL_SDK_DISABLED"] !== "true") {
  process.env["OTEL_TRACES_EXPORTER"] ??= "otlp";
  process.env["OTEL_METRICS_EXPORTER"] ??= "none";
  process.env["OTEL_LOGS_EXPORTER"] ??= "none";
  process.env["OTEL_NODE_RESOURCE_DETECTORS"] ??= "env,process";
  const { NodeSDK } = await import("@opentelemetry/sdk-node");
  const sdk = new NodeSDK({ instrumentations: [] });
  sdk.start();
  collectSpans();
  process.once("beforeExit", () => void sdk.shutdown().catch(() => {}));
}
