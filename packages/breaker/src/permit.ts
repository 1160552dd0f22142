export type BreakerState = "closed" | "open" | "half-open";

/**
 * Leave to make one call. Say once how the call went; whatever is said later, or after the breaker has moved on, is
 * ignored.
 */
export interface Permit {
  readonly admitted: true;
  /** In `observe` mode: what `enforce` would have answered instead. */
  readonly observed?: Rejection | undefined;
  /** @param durationMs how long the call took, in milliseconds, where it is known */
  succeed(durationMs?: number): void;
  /** @param durationMs how long the call took, in milliseconds, where it is known */
  fail(durationMs?: number): void;
  /** The call says nothing about its target: its caller gave up, or something local refused it. */
  ignore(): void;
}

export interface Rejection {
  readonly admitted: false;
  readonly state: "open" | "half-open";
  /** Since when the breaker has been in this state, in milliseconds since the epoch. */
  readonly sinceMs: number;
  /** How long it makes no sense to ask again, in milliseconds. */
  readonly retryAfterMs: number;
}
