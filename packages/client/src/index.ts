export { BreakerOpenError } from "@holdfast/breaker";
export { type AttemptOutcome, type AttemptRecord, attemptsOf } from "./attempt-record.ts";
export { type Backoff, type FullJitterOptions, fullJitter } from "./backoff.ts";
export type { BreakerGate } from "./breaker-gate.ts";
export {
  type DeadlineFromHeadersOptions,
  type DeadlineOptions,
  deadlineFromHeaders,
  detach,
  type HeaderSource,
  remainingDeadlineMs,
  withDeadline,
} from "./deadline.ts";
export { AttemptTimeoutError, DeadlineExceededError, TransportError } from "./errors.ts";
export type { HttpFetch, Mode, RetryOptions, TargetOptions, TargetSettings } from "./options.ts";
export { type RetryBudget, type RetryBudgetOptions, retryBudget } from "./retry-budget.ts";
export { createTarget, type RunContext, type RunOptions, type Target, type TargetRequestInit } from "./target.ts";
