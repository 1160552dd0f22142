import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/**
 * The OpenTelemetry packages that load grpc-js, loaded when they are first needed: after the instrumentations.
 *
 * By require, because their ES modules import grpc-js statically. That would fix what `import * as grpc` means for the
 * whole process before anything could be patched, in their own modules and in the service's.
 */
export const lateModules = {
  sdkNode: (): typeof import("@opentelemetry/sdk-node") => require("@opentelemetry/sdk-node"),
  traceExporter: (): typeof import("@opentelemetry/exporter-trace-otlp-grpc") =>
    require("@opentelemetry/exporter-trace-otlp-grpc"),
  metricExporter: (): typeof import("@opentelemetry/exporter-metrics-otlp-grpc") =>
    require("@opentelemetry/exporter-metrics-otlp-grpc"),
  logExporter: (): typeof import("@opentelemetry/exporter-logs-otlp-grpc") =>
    require("@opentelemetry/exporter-logs-otlp-grpc"),
};
