import {
  type Clock,
  jsonLinesSink,
  type Logger,
  type LogLevel,
  type SpanObserver,
  type StoryAttributes,
  type StorySink,
} from "@holdfast/core";
import { logs } from "@opentelemetry/api";
import { bridgedLogger } from "./log-bridge.ts";
import type { OtlpStorySink } from "./otlp-story-sink.ts";
import type { Pipelines } from "./pipelines.ts";
import type { SpanObservers } from "./span-observers.ts";
import type { LogCounts, SpanCounts, Telemetry, TelemetryResult } from "./telemetry.ts";

export interface StartedParts {
  endpoint: string | null;
  resource: StoryAttributes;
  observers: SpanObservers;
  /** Null without an endpoint. */
  export: { pipelines: Pipelines; stories: OtlpStorySink } | null;
  clock: Clock;
  /** Takes the globals of OpenTelemetry's API back. */
  unregister(): void;
}

const CLOSE_DEADLINE_MS = 5_000;

export class StartedTelemetry implements Telemetry {
  readonly endpoint: string | null;
  readonly resource: StoryAttributes;
  readonly sink: StorySink;
  readonly #parts: StartedParts;
  /** Without an endpoint: spans that ended, counted by an observer. */
  #endedUnexported = 0;
  #result: Promise<TelemetryResult> | undefined;

  constructor(parts: StartedParts) {
    this.#parts = parts;
    this.endpoint = parts.endpoint;
    this.resource = parts.resource;
    this.sink = parts.export?.stories ?? jsonLinesSink();
    if (!parts.export) parts.observers.add({ onStart() {}, onEnd: () => void this.#endedUnexported++ });
  }

  addObserver(observer: SpanObserver): () => void {
    return this.#parts.observers.add(observer);
  }

  logger(base: Logger, level: LogLevel = "info"): Logger {
    return bridgedLogger(base, logs.getLogger("@holdfast/telemetry"), level);
  }

  counts(): SpanCounts {
    const queue = this.#parts.export?.pipelines.spans.counts();
    if (!queue) return { ended: this.#endedUnexported, exported: 0, failed: 0, dropped: 0 };
    const { added, ...settled } = queue;
    return { ended: added, ...settled };
  }

  async forceFlush(deadlineMs: number): Promise<void> {
    const pipelines = this.#parts.export?.pipelines;
    if (!pipelines || this.#result) return;
    const { spans, logs: records, metricReader } = pipelines;
    const letGo = holdProcess();
    await this.#within(deadlineMs, Promise.allSettled([spans.flush(), records.flush(), metricReader.forceFlush()]));
    letGo();
  }

  shutdown(deadlineMs: number): Promise<TelemetryResult> {
    this.#result ??= this.#close(deadlineMs);
    return this.#result;
  }

  async close(): Promise<void> {
    await this.shutdown(CLOSE_DEADLINE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(deadlineMs: number): Promise<TelemetryResult> {
    const { clock, endpoint, observers, unregister } = this.#parts;
    const startedAt = clock.monotonic();
    const letGo = holdProcess();
    const open = this.#parts.export;
    let metrics: TelemetryResult["metrics"] = "off";
    if (open) {
      const { pipelines, stories } = open;
      const collected = pipelines.metricReader.shutdown().then(
        () => !pipelines.metrics.lastFailed,
        () => false,
      );
      const [, , delivered] = await Promise.all([
        pipelines.spans.close(deadlineMs),
        pipelines.logs.close(deadlineMs),
        this.#within(deadlineMs, collected),
        this.#within(deadlineMs, stories.drain()),
      ]);
      metrics = delivered ? "delivered" : "failed";
      // Not awaited: a connection that hangs must not outlast the deadline.
      void pipelines.disconnect();
    }
    unregister();
    letGo();
    const spans = this.counts();
    const records: LogCounts = this.#logCounts();
    const lost = spans.failed + spans.dropped + records.failed + records.dropped + (metrics === "failed" ? 1 : 0);
    return {
      endpoint,
      spans,
      openSpans: observers.open,
      stories: open?.stories.counts() ?? { delivered: 0, failed: 0 },
      logs: records,
      metrics,
      durationMs: Math.round(clock.monotonic() - startedAt),
      clean: lost === 0,
    };
  }

  #logCounts(): LogCounts {
    const queue = this.#parts.export?.pipelines.logs.counts();
    if (!queue) return { emitted: 0, exported: 0, failed: 0, dropped: 0 };
    const { added, ...settled } = queue;
    return { emitted: added, ...settled };
  }

  /** The value, or undefined once the deadline passed. Never rejects. */
  #within<T>(deadlineMs: number, value: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = this.#parts.clock.after(deadlineMs, () => resolve(undefined));
      const settle = (result: T | undefined): void => {
        timer.cancel();
        resolve(result);
      };
      value.then(settle, () => settle(undefined));
    });
  }
}

/** Keeps the process alive: all other timers here do not, and a pause between two attempts must not end it early. */
function holdProcess(): () => void {
  const hold = setInterval(() => {}, 60_000);
  return () => clearInterval(hold);
}
