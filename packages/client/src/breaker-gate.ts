import type { Permit, Rejection } from "@holdfast/breaker";

/** What a target needs of a breaker. Every CircuitBreaker of @holdfast/breaker is one. */
export interface BreakerGate {
  readonly name: string;
  tryAcquire(): Permit | Rejection;
}
