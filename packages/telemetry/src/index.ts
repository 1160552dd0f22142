export { tracesItself } from "./grpc-instrumentation.ts";
export { nameRoute } from "./http-route.ts";
export { startTelemetry } from "./start.ts";
export type {
  LogCounts,
  SpanCounts,
  StoryCounts,
  Telemetry,
  TelemetryOptions,
  TelemetryResult,
} from "./telemetry.ts";
