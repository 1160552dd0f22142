import { HoldfastError } from "@holdfast/core";
import type { Rejection } from "./permit.ts";

/** The call was not made: the breaker is open, or half-open with no trial to give. Carries no stack. */
export class BreakerOpenError extends HoldfastError<"BREAKER_OPEN"> {
  override readonly name: string = "BreakerOpenError";
  /** The breaker's name. */
  readonly breaker: string;
  readonly state: "open" | "half-open";
  /** Since when, in milliseconds since the epoch. */
  readonly since: number;
  /** How long it makes no sense to ask again, in milliseconds. */
  readonly retryAfterMs: number;

  constructor(breaker: string, rejection: Rejection) {
    super("BREAKER_OPEN", `breaker ${breaker} is ${rejection.state}`);
    this.breaker = breaker;
    this.state = rejection.state;
    this.since = rejection.sinceMs;
    this.retryAfterMs = rejection.retryAfterMs;
  }

  /** Makes one without capturing a stack: where a rejection was made says nothing, and capturing costs more than the rest. */
  static of(breaker: string, rejection: Rejection): BreakerOpenError {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      return new BreakerOpenError(breaker, rejection);
    } finally {
      Error.stackTraceLimit = limit;
    }
  }
}
