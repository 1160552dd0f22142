import { attr, metric } from "@holdfast/core";
import { type Attributes, type Counter, type Histogram, type MeterProvider, metrics } from "@opentelemetry/api";
import type { AttemptOutcome } from "./attempt-record.ts";

export type RejectionReason = "breaker-open" | "deadline" | "attempt-timeout" | "budget";

interface Instruments {
  calls: Histogram;
  attempts: Counter;
  rejections: Counter;
}

/** Upper ends of the buckets in seconds: those of HTTP's own duration metric in the semantic conventions. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

let provider: MeterProvider | undefined;
let instruments: Instruments;

/**
 * Instruments of the provider that is registered now. Unlike a tracer, a meter taken before an SDK is registered stays
 * silent for ever, and targets are often made first.
 */
function current(): Instruments {
  const registered = metrics.getMeterProvider();
  if (registered !== provider) {
    provider = registered;
    const meter = registered.getMeter("@holdfast/client");
    instruments = {
      calls: meter.createHistogram(metric.clientCallDuration, {
        description: "One logical call to a target: all its attempts, the waits between them, and the body",
        unit: "s",
        advice: { explicitBucketBoundaries: BUCKETS },
      }),
      attempts: meter.createCounter(metric.clientAttempts, {
        description: "Attempts that were sent",
        unit: "{attempt}",
      }),
      rejections: meter.createCounter(metric.clientRejections, {
        description: "What was refused or cut off here; in observe mode, what would have been",
        unit: "{rejection}",
      }),
    };
  }
  return instruments;
}

/** The metrics of one target. */
export class CallMetrics {
  readonly #target: string;
  /** Attribute sets are few and made once. */
  readonly #outcomes = new Map<AttemptOutcome, Attributes>();

  constructor(target: string) {
    this.#target = target;
  }

  call(outcome: AttemptOutcome, durationMs: number): void {
    current().calls.record(durationMs / 1_000, this.#attributes(outcome));
  }

  attempt(outcome: AttemptOutcome): void {
    current().attempts.add(1, this.#attributes(outcome));
  }

  rejection(reason: RejectionReason, mode: string): void {
    current().rejections.add(1, { [attr.target]: this.#target, reason, [attr.mode]: mode });
  }

  #attributes(outcome: AttemptOutcome): Attributes {
    let attributes = this.#outcomes.get(outcome);
    if (!attributes) {
      attributes = { [attr.target]: this.#target, outcome };
      this.#outcomes.set(outcome, attributes);
    }
    return attributes;
  }
}
