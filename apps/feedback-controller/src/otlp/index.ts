export {
  decodeResource,
  decodeSpan,
  type FullAttributes,
  type SpanDetails,
} from "./decode-span.ts";
export { readLogsJson, readMetricsJson, readTracesJson } from "./read-json.ts";
export {
  type Format,
  type LogRecord,
  MAX_ITEMS,
  type PointRecord,
  type Reading,
  type ResourceRecord,
  type Scalar,
  type SpanRecord,
} from "./records.ts";
export { scanLogs } from "./scan-logs.ts";
export { scanMetrics } from "./scan-metrics.ts";
export { scanTraces } from "./scan-traces.ts";
export { fullSuccess, readPartialSuccess, retryStatus, rpcCode, statusMessage } from "./status.ts";
