import type { Clock } from "@holdfast/core";
import type { AttemptTrace } from "./call-trace.ts";
import type { DeadlineScope } from "./deadline.ts";
import type { AttemptScope } from "./exchange.ts";

/** One attempt in flight: what its transport may ask, and the way to stop it. */
export class Attempt implements AttemptScope, DeadlineScope {
  readonly attempt: number;
  readonly limitMs: number;
  readonly trace: AttemptTrace | undefined;
  readonly startedAt: number;
  readonly #clock: Clock;
  readonly #callEndsAt: number;
  /** Most functions never look at their signal, and an AbortController costs more than all the rest of a call. */
  #controller: AbortController | undefined;
  #aborted: { reason: unknown } | undefined;

  constructor(
    clock: Clock,
    attempt: number,
    startedAt: number,
    limitMs: number,
    callEndsAt: number,
    trace?: AttemptTrace,
  ) {
    this.#clock = clock;
    this.attempt = attempt;
    this.startedAt = startedAt;
    this.limitMs = limitMs;
    this.#callEndsAt = callEndsAt;
    this.trace = trace;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(reason);
  }

  /** Of the attempt: what a function calls in it has no longer than that. */
  remainingMs(): number {
    return this.startedAt + this.limitMs - this.#clock.monotonic();
  }

  callRemainingMs(): number {
    return this.#callEndsAt - this.#clock.monotonic();
  }
}
