import { HoldfastError, messageOf } from "@holdfast/core";

/**
 * The deadline of the whole call passed: its own, or an inherited one that was shorter. Covers every attempt, the waits
 * between them and the body. `attemptsOf(error)` tells what was tried.
 */
export class DeadlineExceededError extends HoldfastError<"DEADLINE_EXCEEDED"> {
  override readonly name = "DeadlineExceededError";
  readonly target: string;
  /** How much time the call had, in milliseconds. */
  readonly deadlineMs: number;

  constructor(target: string, deadlineMs: number, cause?: unknown) {
    super(
      "DEADLINE_EXCEEDED",
      `the call to ${target} was not done within its deadline of ${Math.max(0, Math.round(deadlineMs))} ms`,
      cause === undefined ? {} : { cause },
    );
    this.target = target;
    this.deadlineMs = deadlineMs;
  }
}

/** One attempt was not answered in time, and no other was allowed. `attemptsOf(error)` tells what was tried. */
export class AttemptTimeoutError extends HoldfastError<"ATTEMPT_TIMEOUT"> {
  override readonly name = "AttemptTimeoutError";
  readonly target: string;
  /** How long the attempt had, in milliseconds. */
  readonly timeoutMs: number;

  constructor(target: string, timeoutMs: number) {
    super("ATTEMPT_TIMEOUT", `${target} did not answer within ${Math.round(timeoutMs)} ms`);
    this.target = target;
    this.timeoutMs = timeoutMs;
  }
}

/** The transport failed: refused, reset, no such host. The transport's own error is the `cause`. */
export class TransportError extends HoldfastError<"TRANSPORT_FAILED"> {
  override readonly name = "TransportError";
  readonly target: string;
  /** The system's or undici's word for it, such as "ECONNREFUSED" or "UND_ERR_SOCKET"; "" when there is none. */
  readonly reason: string;

  constructor(target: string, reason: string, cause: unknown) {
    super("TRANSPORT_FAILED", `the connection to ${target} failed: ${reason || messageOf(cause)}`, { cause });
    this.target = target;
    this.reason = reason;
  }
}
