/** What became of a change: judged against the time just before it. */
export type Verdict = "improved" | "unchanged" | "worse";

export interface Judgement {
  verdict: Verdict;
  reason: string;
}

/** Effects of this share and more count. */
const EFFECT = 0.1;
/** Standard deviations that a share of failures must have moved by. */
const Z = 3;
/** A 99th percentile of fewer calls is noise. */
const LEAST_FOR_P99 = 1_000;
/** A change of less than this, in milliseconds, is nothing that a caller feels. */
const LEAST_MS = 2;

/** How an edge was doing over a window. */
export interface EdgeState {
  calls: number;
  failures: number;
  /** Of calls that succeeded, in milliseconds. */
  p99Ms: number;
}

export interface ThresholdTrial {
  old: number;
  new: number;
  before: EdgeState;
  after: EdgeState;
  /** Whether the breaker opened since, and the largest share of failures that a window showed since. */
  opened: boolean;
  worstRatio: number;
}

/** Judges a threshold in calm, or what led out of it. */
export function judgeThreshold({ old, new: value, before, after, opened, worstRatio }: ThresholdTrial): Judgement {
  if (opened && value < old && worstRatio < old)
    return { verdict: "worse", reason: "the breaker opened although the old threshold was not reached" };
  if (failsMore(before, after)) return { verdict: "worse", reason: "more calls fail than before" };
  if (failsMore(after, before)) return { verdict: "improved", reason: "fewer calls fail than before" };
  const enough = Math.min(before.calls - before.failures, after.calls - after.failures) >= LEAST_FOR_P99;
  if (enough && after.p99Ms > before.p99Ms * (1 + EFFECT) + LEAST_MS)
    return { verdict: "worse", reason: "the 99th percentile rose" };
  if (opened && value < old) return { verdict: "improved", reason: "the breaker opened earlier in an incident" };
  return { verdict: "unchanged", reason: "calls fare as before" };
}

/** Whether calls fail more in `after`, by a tenth at least and by more than chance. */
function failsMore(before: EdgeState, after: EdgeState): boolean {
  if (before.calls === 0 || after.calls === 0) return false;
  const was = before.failures / before.calls;
  const is = after.failures / after.calls;
  const pooled = (before.failures + after.failures) / (before.calls + after.calls);
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / before.calls + 1 / after.calls));
  return is > was * (1 + EFFECT) && is - was > Z * deviation;
}

/** How a pool was doing over a window. */
export interface PoolState {
  waitMeanMs: number;
  serviceTimeMs: number;
  /** Connections given back a second, all instances. */
  throughput: number;
}

export interface PoolTrial {
  old: number;
  new: number;
  before: PoolState;
  after: PoolState;
}

/** Judges a pool's size by what callers feel, the wait and the work together, and by what gets done. */
export function judgePool({ old, new: value, before, after }: PoolTrial): Judgement {
  const was = before.waitMeanMs + before.serviceTimeMs;
  const is = after.waitMeanMs + after.serviceTimeMs;
  const slower = is > was * (1 + EFFECT) + LEAST_MS;
  const faster = is < was * (1 - EFFECT) - LEAST_MS / 4;
  const more = after.throughput > before.throughput * (1 + EFFECT);
  const less = after.throughput < before.throughput * (1 - EFFECT);
  if (value > old) {
    if (slower && !more) return { verdict: "worse", reason: "calls take longer, and no more of them get through" };
    if (less && !faster) return { verdict: "worse", reason: "fewer calls get through" };
    if (faster) return { verdict: "improved", reason: "calls wait less" };
    if (more) return { verdict: "improved", reason: "more calls get through" };
    return { verdict: "unchanged", reason: "neither waiting nor throughput changed" };
  }
  if (slower) return { verdict: "worse", reason: "calls take longer with fewer connections" };
  return { verdict: "unchanged", reason: "calls fare as before, with fewer connections" };
}
