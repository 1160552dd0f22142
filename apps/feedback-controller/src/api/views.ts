import type { CallTally } from "../observe/rolling.ts";

/** Rates and latencies of calls over the window, as the API shows them. */
export interface CallsView {
  perSecond: number;
  failureRate: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
}

export function callsView(tally: CallTally, coveredMs: number): CallsView {
  return {
    perSecond: rounded((tally.calls * 1_000) / coveredMs),
    failureRate: tally.calls === 0 ? 0 : rounded(tally.failures / tally.calls),
    p50Ms: rounded(tally.latency.quantile(0.5)),
    p95Ms: rounded(tally.latency.quantile(0.95)),
    p99Ms: rounded(tally.latency.quantile(0.99)),
  };
}

/** Four digits are more than an estimate has. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
