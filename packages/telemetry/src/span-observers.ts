import type { LiveSpan, SpanObserver, StoryAttributes } from "@holdfast/core";
import { SpanKind } from "@opentelemetry/api";
import { hrTimeToMilliseconds } from "@opentelemetry/core";
import type { ReadableSpan, Span, SpanProcessor } from "@opentelemetry/sdk-trace";

const KINDS: Readonly<Record<SpanKind, LiveSpan["kind"]>> = {
  [SpanKind.INTERNAL]: "internal",
  [SpanKind.SERVER]: "server",
  [SpanKind.CLIENT]: "client",
  [SpanKind.PRODUCER]: "producer",
  [SpanKind.CONSUMER]: "consumer",
};

/** Tells observers of every recorded span. An observer that throws is not heard of: it must not break a request. */
export class SpanObservers implements SpanProcessor {
  readonly #observers: Set<SpanObserver>;
  #open = 0;

  constructor(observers: Iterable<SpanObserver>) {
    this.#observers = new Set(observers);
  }

  /** Spans that started and have not ended. */
  get open(): number {
    return this.#open;
  }

  add(observer: SpanObserver): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  onStart(span: Span): void {
    this.#open++;
    if (this.#observers.size === 0) return;
    const { traceId, spanId } = span.spanContext();
    const live: LiveSpan = {
      traceId,
      spanId,
      parentSpanId: span.parentSpanContext?.spanId,
      name: span.name,
      kind: KINDS[span.kind],
      startTimeMs: hrTimeToMilliseconds(span.startTime),
      attributes: span.attributes as StoryAttributes,
    };
    for (const observer of this.#observers) {
      try {
        observer.onStart(live);
      } catch {}
    }
  }

  onEnd(span: ReadableSpan): void {
    this.#open--;
    if (this.#observers.size === 0) return;
    const { traceId, spanId } = span.spanContext();
    for (const observer of this.#observers) {
      try {
        observer.onEnd({ traceId, spanId });
      } catch {}
    }
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
