import type { Clock, Logger, Random } from "@holdfast/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-grpc";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { ExportQueue } from "./export-queue.ts";
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
  // grpc-js keeps apart what names itself differently: each new exporter gets a connection of its own.
  const config = (use: string) => (nth: number) => ({ url: endpoint, userAgent: `holdfast-${use}/${nth}` });
  const traceConfig = config("traces");
  const storyConfig = config("stories");
  const metricConfig = config("metrics");
  const logConfig = config("logs");
  const traces = new ReconnectingExporter((nth) => new OTLPTraceExporter(traceConfig(nth)));
  const storyExporter = new ReconnectingExporter((nth) => new OTLPTraceExporter(storyConfig(nth)));
  const logRecords = new ReconnectingExporter((nth) => new OTLPLogExporter(logConfig(nth)));
  const metrics = new MetricDelivery(new ReconnectingExporter((nth) => new OTLPMetricExporter(metricConfig(nth))));
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
