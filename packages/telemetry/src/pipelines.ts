import type { Clock, Logger, Random } from "@holdfast/core";
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { ExportQueue } from "./export-queue.ts";
import { lateModules } from "./late-modules.ts";
import { MetricDelivery } from "./metric-delivery.ts";
import { ReconnectingExporter } from "./reconnecting-exporter.ts";

export interface PipelineOptions {
  endpoint: string;
  metricExportIntervalMs: number;
  logger: Logger;
  clock: Clock;
  random: Random;
}

/** All that sends something to the endpoint: one exporter a signal, and one more for stories. */
export interface Pipelines {
  spans: ExportQueue<ReadableSpan>;
  logs: ExportQueue<ReadableLogRecord>;
  metrics: MetricDelivery;
  metricReader: PeriodicExportingMetricReader;
  storyExporter: ReconnectingExporter<ReadableSpan[], OTLPTraceExporter>;
  /** Closes the connections. Never rejects. */
  disconnect(): Promise<void>;
}

export function openPipelines(options: PipelineOptions): Pipelines {
  const { endpoint, metricExportIntervalMs, logger, clock, random } = options;
  const { OTLPTraceExporter } = lateModules.traceExporter();
  const { OTLPMetricExporter } = lateModules.metricExporter();
  const { OTLPLogExporter } = lateModules.logExporter();
  const config = { url: endpoint };
  const traces = new ReconnectingExporter(() => new OTLPTraceExporter(config));
  const storyExporter = new ReconnectingExporter(() => new OTLPTraceExporter(config));
  const logRecords = new ReconnectingExporter(() => new OTLPLogExporter(config));
  const metrics = new MetricDelivery(new ReconnectingExporter(() => new OTLPMetricExporter(config)));
  const told = (signal: string) => ({
    clock,
    random,
    onRetry: (error: Error) => logger.warn({ signal, endpoint, error }, "telemetry was not taken, and is sent again"),
    onLoss: (count: number, error: Error) => logger.error({ signal, endpoint, count, error }, "telemetry was lost"),
  });
  return {
    spans: new ExportQueue({ exporter: traces, ...told("traces") }),
    logs: new ExportQueue({ exporter: logRecords, ...told("logs") }),
    metrics,
    metricReader: new PeriodicExportingMetricReader({
      exporter: metrics,
      exportIntervalMillis: metricExportIntervalMs,
    }),
    storyExporter,
    async disconnect() {
      await Promise.allSettled([traces.shutdown(), storyExporter.shutdown(), logRecords.shutdown()]);
    },
  };
}
