import { count, percentage, type Quantity } from "./quantity.ts";
import type { TargetPolicy, Tunable } from "./target-policy.ts";

/** One thing that may be tuned: its unit, its widest range, and its place in a target's policy. */
export interface Knob {
  readonly quantity: Quantity;
  /** What a step may be. */
  readonly step: Quantity;
  /** The step when bounds name none: small enough that one wrong decision does no harm. */
  readonly maxStep: number;
  get(policy: TargetPolicy): number;
  set(policy: TargetPolicy, value: number): TargetPolicy;
}

export const failureRate: Quantity = percentage({ min: 0.01, max: 1 });
export const connections: Quantity = count({ min: 1, max: 10_000 });

export const knobs: Readonly<Record<Tunable, Knob>> = {
  "breaker.failureRateThreshold": {
    quantity: failureRate,
    step: percentage({ min: 0.001, max: 1 }),
    maxStep: 0.1,
    get: (policy) => policy.breaker.failureRateThreshold,
    set: (policy, failureRateThreshold) => ({
      ...policy,
      breaker: Object.freeze({ ...policy.breaker, failureRateThreshold }),
    }),
  },
  "pool.size": {
    quantity: connections,
    step: count({ min: 1, max: 10_000 }),
    maxStep: 4,
    get: (policy) => policy.pool.size,
    set: (policy, size) => ({ ...policy, pool: Object.freeze({ ...policy.pool, size }) }),
  },
};
