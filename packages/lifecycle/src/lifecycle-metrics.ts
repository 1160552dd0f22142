import { type Histogram, type Meter, metrics } from "@opentelemetry/api";
import type { DeathCause } from "./death-story.ts";
import type { LifecycleState } from "./lifecycle-state.ts";
import type { RecordedPhase } from "./recorder/record-types.ts";
import type { ProbeMeasurement } from "./watch/messages.ts";

const STATES: readonly LifecycleState[] = ["starting", "ready", "degraded", "draining", "stopped", "crashed"];
/** Seconds: a probe takes a millisecond and may take its time-out. */
const PROBE_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
/** Seconds: a phase takes nothing, or up to its budget. */
const PHASE_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120];

/** The lifecycle's numbers. Without a meter provider every call does nothing. */
export class LifecycleMetrics {
  readonly #meter: Meter = metrics.getMeter("@holdfast/lifecycle");
  readonly #probes: Histogram = this.#meter.createHistogram("lifecycle.probe.duration", {
    unit: "s",
    description: "Time from a probe's request to its whole answer",
    advice: { explicitBucketBoundaries: PROBE_BUCKETS },
  });
  readonly #shutdown: Histogram = this.#meter.createHistogram("lifecycle.shutdown.duration", {
    unit: "s",
    description: "Duration of each phase of a shutdown",
    advice: { explicitBucketBoundaries: PHASE_BUCKETS },
  });
  readonly #panics = this.#meter.createCounter("lifecycle.panics", { description: "Exceptions that nobody caught" });
  readonly #deaths = this.#meter.createCounter("lifecycle.deaths", {
    description: "Ends of previous processes of this instance",
  });
  readonly #stalls = this.#meter.createCounter("lifecycle.eventloop.stalls", {
    description: "Times that the event loop stood still for longer than readiness allows",
  });

  /** @param state of the moment @returns stops observing */
  observeState(state: () => LifecycleState): () => void {
    const gauge = this.#meter.createObservableGauge("lifecycle.state", {
      description: "1 for the state that the instance is in, 0 for the others",
    });
    const observe: Parameters<typeof gauge.addCallback>[0] = (result) => {
      for (const each of STATES) result.observe(each === state() ? 1 : 0, { "lifecycle.state": each });
    };
    gauge.addCallback(observe);
    return () => gauge.removeCallback(observe);
  }

  probes(measurements: readonly ProbeMeasurement[]): void {
    for (const { path, ok, durationMs } of measurements) {
      this.#probes.record(durationMs / 1_000, { probe: path.slice(1), outcome: ok ? "success" : "failure" });
    }
  }

  phase({ phase, startMs, endMs = startMs, outcome }: RecordedPhase, trigger: string): void {
    this.#shutdown.record((endMs - startMs) / 1_000, { phase, trigger, outcome });
  }

  panic(origin: string, recovered: boolean): void {
    this.#panics.add(1, { origin, recovered });
  }

  death(reason: DeathCause): void {
    this.#deaths.add(1, { reason });
  }

  stall(): void {
    this.#stalls.add(1);
  }
}
