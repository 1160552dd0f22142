import type { Clock, Logger, LogLevel, Random, SpanObserver, StoryAttributes, StorySink } from "@holdfast/core";

export interface TelemetryOptions {
  /** `service.name`. */
  service: string;
  /** `service.namespace`. Default: what OTEL_RESOURCE_ATTRIBUTES says, else none. */
  namespace?: string | undefined;
  /** `service.instance.id`. Default: what OTEL_RESOURCE_ATTRIBUTES says, else HOSTNAME, else a random UUID. */
  instance?: string | undefined;
  /** `service.version`. Default: what OTEL_RESOURCE_ATTRIBUTES says, else none. */
  version?: string | undefined;
  /** More attributes of the resource; they win over OTEL_RESOURCE_ATTRIBUTES. */
  resource?: StoryAttributes | undefined;
  /**
   * Where traces, metrics and logs go: an OTLP/gRPC endpoint such as `http://127.0.0.1:4317` (`https://` for TLS).
   * Default OTEL_EXPORTER_OTLP_ENDPOINT. `null`, or nothing named anywhere: no exporters, and one log line.
   */
  endpoint?: string | null | undefined;
  /**
   * How often metrics are exported, in milliseconds. Default OTEL_METRIC_EXPORT_INTERVAL, else 60_000; at least 100.
   */
  metricExportIntervalMs?: number | undefined;
  /** Told of every recorded span at its start and end. */
  observers?: readonly SpanObserver[] | undefined;
  /** Whether http, undici, grpc-js and pg are instrumented. Default true. */
  instrumentations?: boolean | undefined;
  /** Told of what goes wrong in the telemetry itself, rate-limited. Its lines are not exported. */
  logger?: Logger | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

/**
 * What became of the spans that ended. `ended` is the sum of the others once telemetry is closed, and the sum of the
 * others and of what still waits before that. Without an endpoint only `ended` counts.
 */
export interface SpanCounts {
  /** Sampled spans that ended in this process. */
  ended: number;
  /** Spans that the receiver confirmed. */
  exported: number;
  /** Spans that were sent and refused, or whose confirmation did not come in time. */
  failed: number;
  /** Spans that were never sent: the queue was full, or the deadline passed first. */
  dropped: number;
}

/** What became of the spans given to the story sink. */
export interface StoryCounts {
  delivered: number;
  failed: number;
}

/** What became of log records. The same sums as for spans. */
export interface LogCounts {
  emitted: number;
  exported: number;
  failed: number;
  dropped: number;
}

/** How telemetry closed. */
export interface TelemetryResult {
  /** The endpoint, or null where there was none. */
  endpoint: string | null;
  spans: SpanCounts;
  /** Spans that started and had not ended when telemetry closed. They are in no count above. */
  openSpans: number;
  stories: StoryCounts;
  logs: LogCounts;
  /** Whether the last metrics were delivered; "off" without an endpoint. */
  metrics: "delivered" | "failed" | "off";
  /** How long closing took, in milliseconds. */
  durationMs: number;
  /** True when everything was delivered before the deadline. */
  clean: boolean;
}

/** OpenTelemetry of this process, started. */
export interface Telemetry {
  /** The endpoint in use, or null. */
  readonly endpoint: string | null;
  /** The resource's attributes, flat: what a crash recorder keeps for whoever comes next. */
  readonly resource: StoryAttributes;
  /**
   * Delivers finished spans with the ids, times and resource that they bring, always sampled, through an exporter of its
   * own. Without an endpoint: JSON lines on standard output.
   */
  readonly sink: StorySink;
  /** Told of every span recorded from now on. The returned function takes it back. */
  addObserver(observer: SpanObserver): () => void;
  /**
   * A logger whose lines carry the active span's ids, and also go out as OTLP log records.
   *
   * @param level the least level that goes out; default "info"
   */
  logger(base: Logger, level?: LogLevel): Logger;
  counts(): SpanCounts;
  /** Sends what waits. Resolves when it was confirmed, refused, or `deadlineMs` passed; never rejects. */
  forceFlush(deadlineMs: number): Promise<void>;
  /**
   * Sends what waits and closes, at the latest after `deadlineMs`. Never rejects; later calls get the first result.
   *
   * @param deadlineMs milliseconds from now
   */
  shutdown(deadlineMs: number): Promise<TelemetryResult>;
  /** As `shutdown`, with a deadline of 5 s. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
