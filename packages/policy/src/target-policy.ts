/** Whether a target's protections act: `observe` admits everything and reports what it would have refused. */
export type Mode = "enforce" | "observe" | "off";

export interface RetryPolicy {
  /** Attempts of one call, the first included. */
  readonly maxAttempts: number;
  /** Ceiling of the first wait, in milliseconds. */
  readonly baseDelayMs: number;
  /** Ceiling of every wait, in milliseconds. */
  readonly maxDelayMs: number;
  /** Retries allowed as a share of the calls, 0 to 1. */
  readonly budgetRatio: number;
  /** Retries a second that are always allowed, so that a quiet target may retry at all. */
  readonly minRetriesPerSecond: number;
}

export interface BreakerPolicy {
  /** Share of failures in the window that opens the breaker, above 0 and up to 1. */
  readonly failureRateThreshold: number;
  /** Calls that the window must hold before its rate counts. */
  readonly minimumCalls: number;
  /** Length of the window, in milliseconds. */
  readonly windowMs: number;
  /** Failures in a row that open the breaker; 0 switches the rule off. */
  readonly consecutiveFailures: number;
  /** How long the breaker stays open at first, in milliseconds. */
  readonly openMs: number;
  /** The longest it stays open after failed trials, in milliseconds. */
  readonly maxOpenMs: number;
  /** Trial calls that may be in flight while half-open. */
  readonly halfOpenPermits: number;
}

export interface PoolPolicy {
  /** Connections that the pool may open. */
  readonly size: number;
}

/** How far one knob may be moved. In the knob's own unit: ratios 0 to 1, connections. */
export interface Bound {
  readonly min: number;
  readonly max: number;
  /** The most that one decision may move it. The controller keeps to it; an instance sees only where a value ended. */
  readonly maxStep: number;
}

/** What may be changed while a service runs: the path of its key below the target. */
export type Tunable = "breaker.failureRateThreshold" | "pool.size";

export interface TuningPolicy {
  /** `apply`: the controller's values are taken. `shadow`: it decides and reports, nothing moves. `off`: neither. */
  readonly mode: "apply" | "shadow" | "off";
  /** What the controller may move. A knob without bounds stays where the document puts it. */
  readonly bounds: Readonly<Partial<Record<Tunable, Bound>>>;
}

/** Everything that is in force for one target: durations in milliseconds, shares from 0 to 1. Frozen. */
export interface TargetPolicy {
  readonly name: string;
  /** Where it listens; empty when the code or the environment says. */
  readonly urls: readonly string[];
  readonly mode: Mode;
  /** For one call with all its attempts and its body, in milliseconds. */
  readonly deadlineMs: number;
  /** For one attempt, in milliseconds. */
  readonly attemptTimeoutMs: number;
  readonly retry: RetryPolicy;
  readonly breaker: BreakerPolicy;
  readonly pool: PoolPolicy;
  readonly tuning: TuningPolicy;
}
