import type { BreakerSettings } from "./settings.ts";

export interface WindowCounts {
  readonly calls: number;
  readonly failures: number;
  /** Failures since the last success. */
  readonly run: number;
}

/** What an instance's own window says: enough failures in a row, or enough calls of which too many failed. */
export function windowTrips(
  counts: WindowCounts,
  settings: Pick<BreakerSettings, "minimumCalls" | "failureRateThreshold" | "consecutiveFailures">,
): boolean {
  const { minimumCalls, failureRateThreshold, consecutiveFailures } = settings;
  if (consecutiveFailures > 0 && counts.run >= consecutiveFailures) return true;
  return counts.calls >= minimumCalls && counts.failures >= failureRateThreshold * counts.calls;
}

/** Trials of a round that must succeed to close; more failures than the rest allows re-open. */
export function trialsNeeded(settings: Pick<BreakerSettings, "halfOpenPermits" | "halfOpenSuccessRatio">): number {
  // The subtraction keeps 0.1 * 30 = 3.0000000000000004 from asking for a fourth.
  return Math.max(1, Math.ceil(settings.halfOpenPermits * settings.halfOpenSuccessRatio - 1e-9));
}
