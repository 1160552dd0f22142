export { startTelemetry } from "./start.ts";
export type {
  LogCounts,
  SpanCounts,
  StoryCounts,
  Telemetry,
  TelemetryOptions,
  TelemetryResult,
} from "./telemetry.ts";
