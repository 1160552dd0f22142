import { attr, metric, processGlobal } from "@holdfast/core";
import { type MeterProvider, metrics, type ObservableResult, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { BreakerState, Rejection } from "./permit.ts";
import type { Transition } from "./transition.ts";

const SCOPE = "@holdfast/breaker";
const STATE_VALUE: Readonly<Record<BreakerState, number>> = { closed: 0, "half-open": 1, open: 2 };

/** What the metrics need of a breaker: plain counters, also of another copy of this package in the process. */
type Observed = Pick<CircuitBreaker, "name" | "state" | "mode" | "sharing" | "counts" | "scope">;

interface Observatory {
  /** Weakly held: a breaker that is dropped without close() must not live on for its metrics. */
  readonly breakers: Set<WeakRef<Observed>>;
  /** Transitions by target, from, to and origin; kept when a breaker goes, as a counter never falls. */
  readonly transitions: Map<string, { count: number; attributes: Record<string, string> }>;
  provider: MeterProvider | undefined;
}

const observatory = processGlobal<Observatory>("breaker-metrics", 1, () => ({
  breakers: new Set(),
  transitions: new Map(),
  provider: undefined,
}));

/** Series of transitions that are kept at most; names made up at run time must not grow memory. */
const MOST_SERIES = 2_000;

/** Has the breaker's counters read whenever metrics are collected. Returns the way to stop it. */
export function observeBreaker(breaker: Observed): () => void {
  const reference = new WeakRef(breaker);
  observatory.breakers.add(reference);
  instrument();
  return () => void observatory.breakers.delete(reference);
}

/** Counts a transition and leaves a span of its own, linked to the call that caused it. */
export function reportTransition(transition: Transition): void {
  instrument();
  const { breaker, from, to, origin, generation, incarnation, by, decidedAtMs } = transition;
  const key = `${from} ${to} ${origin} ${breaker}`;
  let series = observatory.transitions.get(key);
  if (!series && observatory.transitions.size < MOST_SERIES) {
    series = { count: 0, attributes: { [attr.target]: breaker, from, to, origin } };
    observatory.transitions.set(key, series);
  }
  if (series) series.count++;
  const cause = trace.getActiveSpan()?.spanContext();
  const attributes: Record<string, string | number> = {
    [attr.target]: breaker,
    from,
    to,
    origin,
    generation,
    incarnation,
  };
  if (by !== undefined) attributes.by = by;
  if (decidedAtMs !== undefined) attributes.decided_at_ms = decidedAtMs;
  trace
    .getTracer(SCOPE)
    .startSpan("holdfast.breaker.transition", { attributes, links: cause ? [{ context: cause }] : [] }, ROOT_CONTEXT)
    .end();
}

/** Leaves an event on the caller's span. */
export function reportRejection(breaker: Pick<CircuitBreaker, "name" | "mode">, rejection: Rejection): void {
  trace.getActiveSpan()?.addEvent("holdfast.breaker.rejected", {
    [attr.target]: breaker.name,
    [attr.breakerState]: rejection.state,
    [attr.mode]: breaker.mode,
    [attr.rejectionReason]: "breaker-open",
    retry_after_ms: rejection.retryAfterMs,
  });
}

/** The metrics API has no proxy: instruments made before the provider was set would stay silent for ever. */
function instrument(): void {
  const provider = metrics.getMeterProvider();
  if (observatory.provider === provider) return;
  observatory.provider = provider;
  const meter = provider.getMeter(SCOPE);
  meter
    .createObservableGauge(metric.breakerState, { description: "0 closed, 1 half-open, 2 open" })
    .addCallback((result) => each(result, (breaker) => STATE_VALUE[breaker.state]));
  meter
    .createObservableGauge(metric.breakerSharing, { description: "1 the state is the fleet's, 0 this instance's own" })
    .addCallback((result) => each(result, (breaker) => (breaker.sharing ? 1 : 0)));
  meter.createObservableCounter(metric.breakerTransitions).addCallback((result) => {
    for (const { count, attributes } of observatory.transitions.values()) result.observe(count, attributes);
  });
  meter.createObservableCounter(metric.breakerOutcomes, { description: "Finished calls" }).addCallback((result) => {
    each(result, (breaker) => breaker.counts.successes, { outcome: "success" });
    each(result, (breaker) => breaker.counts.failures, { outcome: "failure" });
    each(result, (breaker) => breaker.counts.ignored, { outcome: "ignored" });
  });
  meter
    .createObservableCounter(metric.breakerRejections, { description: "Calls rejected, or in observe mode admitted" })
    .addCallback((result) => {
      each(result, (breaker) => breaker.counts.rejections, { [attr.mode]: "enforce" });
      each(result, (breaker) => breaker.counts.observed, { [attr.mode]: "observe" });
    });
}

function each(
  result: ObservableResult,
  read: (breaker: Observed) => number,
  attributes: Readonly<Record<string, string>> = {},
): void {
  for (const reference of observatory.breakers) {
    const breaker = reference.deref();
    if (breaker) result.observe(read(breaker), { [attr.target]: breaker.name, ...attributes });
    else observatory.breakers.delete(reference);
  }
}
