import { rareCount } from "./binomial.ts";
import type { LawResult } from "./law.ts";

export interface ThresholdSignals {
  /** The edge's usual share of failures, and the calls that it was learnt from; absent before enough was seen. */
  baseline: { ratio: number; calls: number } | undefined;
  /** Why this is no time to judge by: the breaker is open, or failures stand out. */
  anomaly: string | undefined;
  /** Calls that one instance's breaker sees in one of its windows: the sample it judges by. */
  callsPerBreakerWindow: number;
  /** Calls below which the breaker does not judge at all. */
  minimumCalls: number;
}

/** How far the threshold stands above the baseline at least. */
const LEAST_MARGIN = 0.1;
/** Standard deviations of the breaker's own sample that it must stand above the baseline. */
const Z = 3;
const LOWEST = 0.2;
const HIGHEST = 0.8;
/** How seldom a healthy window may reach the threshold by chance. */
const FALSE_TRIP = 1e-5;
/** A share learnt from fewer calls may be off by several points (at none of 100: 3 points, the rule of three). */
export const LEAST_BASELINE_CALLS = 100;
/** Beyond this many calls noise no longer decides. */
const LARGEST_SAMPLE = 1_000;

/**
 * The failure rate at which a breaker should open, from what the edge usually fails at:
 * `clamp(p0 + max(0.1, z * sqrt(p0 * (1 - p0) / n)), 0.2, 0.8)` with z = 3, and never so low that a healthy window of
 * n calls reaches it with a probability above 1e-5 (the exact binomial tail).
 *
 * It says nothing while the edge is anomalous: an incident must neither teach it failures nor loosen the threshold.
 */
export function breakerThresholdLaw(signals: ThresholdSignals): LawResult {
  const { baseline, anomaly, callsPerBreakerWindow, minimumCalls } = signals;
  if (anomaly !== undefined) return { hold: anomaly };
  if (baseline === undefined || baseline.calls < LEAST_BASELINE_CALLS) return { hold: "the baseline is not known yet" };
  const p0 = baseline.ratio;
  const n = Math.max(1, minimumCalls, Math.round(callsPerBreakerWindow));
  const noise = Z * Math.sqrt((p0 * (1 - p0)) / n);
  const margin = Math.max(LEAST_MARGIN, noise);
  const sample = Math.min(LARGEST_SAMPLE, n);
  const bearable = rareCount(sample, p0, FALSE_TRIP) / sample;
  const byLaw = clamp(p0 + margin, LOWEST, HIGHEST);
  const value = clamp(Math.max(byLaw, bearable), LOWEST, HIGHEST);
  const binding = bindingOf(p0 + margin, bearable, noise > LEAST_MARGIN);
  return {
    propose: {
      value,
      binding,
      reason: `calls fail at ${percent(p0)} usually; the breaker judges by ${n} calls`,
      signals: { baseline: p0, baseline_calls: Math.round(baseline.calls), margin, judged_calls: n, bearable },
    },
  };
}

function bindingOf(raw: number, bearable: number, noisy: boolean): string {
  if (bearable > clamp(raw, LOWEST, HIGHEST)) return bearable > HIGHEST ? "law-maximum" : "false-trips";
  if (raw < LOWEST) return "law-minimum";
  if (raw > HIGHEST) return "law-maximum";
  return noisy ? "noise" : "margin";
}

/** Whether a window's failures stand out from the baseline, by the same margin that the threshold keeps. */
export function standsOut(calls: number, failures: number, baselineRatio: number): boolean {
  if (calls < 10) return false;
  const noise = Z * Math.sqrt((baselineRatio * (1 - baselineRatio)) / calls);
  return failures / calls > baselineRatio + Math.max(LEAST_MARGIN, noise);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}
