/** A call that the breaker let through. Told of the outcome once; what comes later is ignored. */
export interface GatePermit {
  readonly admitted: true;
  /** @param durationMs how long the attempt took, in milliseconds */
  succeed(durationMs?: number): void;
  fail(durationMs?: number): void;
  /** The attempt says nothing about the target: cancelled, or refused here. */
  ignore(): void;
}

export interface GateRejection {
  readonly admitted: false;
  readonly state: "closed" | "open" | "half-open";
  /** When that state began, in milliseconds since the epoch. */
  readonly sinceMs: number;
  /** When it makes sense to ask again, in milliseconds from now. */
  readonly retryAfterMs: number;
}

/** What a target needs of a breaker. Every CircuitBreaker of @holdfast/breaker is one. */
export interface BreakerGate {
  readonly name: string;
  tryAcquire(): GatePermit | GateRejection;
}
