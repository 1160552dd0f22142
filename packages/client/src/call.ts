import { BreakerOpenError, type Permit, type Rejection } from "@holdfast/breaker";
import { attr, type Timer } from "@holdfast/core";
import type { Attributes } from "@opentelemetry/api";
import { Attempt } from "./attempt.ts";
import { type AttemptRecord, keepAttempts } from "./attempt-record.ts";
import type { RejectionReason } from "./call-metrics.ts";
import { CallTrace } from "./call-trace.ts";
import { deadlineStorage } from "./deadline.ts";
import { AttemptTimeoutError, DeadlineExceededError } from "./errors.ts";
import type { Exchange, Verdict } from "./exchange.ts";
import type { ResolvedSettings } from "./options.ts";
import type { CallOptions, Pipeline } from "./pipeline.ts";
import { clampRetryAfter } from "./retry-after.ts";

/** How an attempt ended, and what that means. */
type Ending<T> = { readonly attempt: Attempt; readonly verdict: Verdict } & (
  | { readonly answered: true; readonly answer: T }
  | { readonly answered: false; readonly error: unknown }
);

/**
 * An attempt that the deadline cuts off speaks against the target only if it had at least this share of its attempt
 * timeout: a caller in a hurry says nothing about the target, and a target that hangs must still open its breaker when
 * every deadline is a little shorter than the attempt timeout.
 */
const FAIR_CHANCE = 0.5;

const CANCELLED: Verdict = { outcome: "cancelled", detail: "cancelled", retry: false };
const REFUSED: Verdict = { outcome: "rejected", detail: "BREAKER_OPEN", retry: false };
const DEADLINE: Verdict = { outcome: "timeout", detail: "DEADLINE_EXCEEDED", retry: false, errorType: "timeout" };
const TIMED_OUT: Verdict = { outcome: "timeout", detail: "ATTEMPT_TIMEOUT", retry: false, errorType: "timeout" };
const TIMED_OUT_REPEATABLE: Verdict = { ...TIMED_OUT, retry: true };

/**
 * One logical call: the deadline, in it the retries under the budget, and for each attempt the breaker's gate and the
 * attempt timeout around the transport. Whatever the call is doing, it has one timer and one thing to interrupt.
 */
export class Call<T> {
  readonly #pipeline: Pipeline;
  readonly #settings: ResolvedSettings;
  readonly #exchange: Exchange<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;
  readonly #enforced: boolean;
  readonly #startedAt: number;
  readonly #endsAt: number;
  readonly #trace: CallTrace | undefined;
  readonly #records: AttemptRecord[] = [];
  #timer: Timer | undefined;
  /** Stops what the call waits for now: an attempt, a backoff, a body. */
  #interrupt: ((reason: unknown) => void) | undefined;
  #ended = false;

  constructor(pipeline: Pipeline, exchange: Exchange<T>, options: CallOptions) {
    this.#pipeline = pipeline;
    this.#settings = pipeline.settings;
    this.#exchange = exchange;
    this.#enforced = this.#settings.mode === "enforce";
    this.#startedAt = pipeline.clock.monotonic();
    const inheritedMs = deadlineStorage.getStore()?.remainingMs() ?? Number.POSITIVE_INFINITY;
    this.#endsAt =
      this.#startedAt +
      Math.min(this.#settings.deadlineMs, options.deadlineMs ?? Number.POSITIVE_INFINITY, inheritedMs);
    this.#trace = CallTrace.start(pipeline.name, this.#settings.mode);
    this.#signal = options.signal;
    if (this.#signal) {
      this.#onAbort = () => this.#interrupt?.(this.#signal?.reason);
      this.#signal.addEventListener("abort", this.#onAbort);
    }
  }

  async run(): Promise<T> {
    this.#pipeline.budget.deposit(this.#startedAt);
    let previous: Ending<T> | undefined;
    let waitedMs = 0;
    for (let number = 1; ; number++) {
      if (this.#signal?.aborted) throw this.#cancelled(previous);
      if (this.#enforced && this.#remainingMs() <= 0) throw this.#outOfTime(previous);
      const gate = this.#pipeline.breaker?.tryAcquire();
      if (gate?.admitted === false) {
        this.#note("holdfast.rejected", "breaker-open", { [attr.breakerState]: gate.state });
        if (this.#enforced) return this.#rejected(gate, number, waitedMs, previous);
      }
      if (previous?.answered) this.#exchange.discard?.(previous.answer);
      const ending = await this.#send(number, gate?.admitted ? gate : undefined, waitedMs, previous);
      const backoffMs = this.#backoff(ending, number);
      if (backoffMs === undefined) return this.#settle(ending);
      ending.attempt.trace?.end(ending.verdict);
      // False: the target is closing, and what there is has to do.
      if (!(await this.#wait(backoffMs))) return this.#settle(ending);
      previous = ending;
      waitedMs = backoffMs;
    }
  }

  #send(
    number: number,
    permit: Permit | undefined,
    waitedMs: number,
    previous: Ending<T> | undefined,
  ): Promise<Ending<T>> {
    const { clock, name } = this.#pipeline;
    const { attemptTimeoutMs } = this.#settings;
    const startedAt = clock.monotonic();
    const remainingMs = this.#endsAt - startedAt;
    const limitMs = this.#enforced ? Math.min(attemptTimeoutMs, remainingMs) : Number.POSITIVE_INFINITY;
    const callEndsAt = this.#enforced ? this.#endsAt : Number.POSITIVE_INFINITY;
    const described = this.#trace && this.#exchange.describe(number);
    const trace = described && this.#trace?.attempt(number, described.name, described.attributes);
    const attempt = new Attempt(clock, number, startedAt, limitMs, callEndsAt, trace);
    return new Promise((resolve) => {
      let open = true;
      const end = (ending: Ending<T>): void => {
        open = false;
        this.#stopWaiting();
        this.#account(ending, permit, waitedMs);
        resolve(ending);
      };
      const stop = (verdict: Verdict, error: unknown): void => {
        end({ attempt, verdict, answered: false, error });
        attempt.abort(error);
      };
      if (this.#enforced) {
        this.#timer = clock.after(Math.max(0, limitMs), () => {
          if (remainingMs <= attemptTimeoutMs) {
            this.#note("holdfast.cut-off", "deadline");
            const cause = previous?.answered === false ? previous.error : undefined;
            stop(DEADLINE, new DeadlineExceededError(name, this.#endsAt - this.#startedAt, cause));
          } else {
            this.#note("holdfast.cut-off", "attempt-timeout");
            const verdict = this.#exchange.repeatable ? TIMED_OUT_REPEATABLE : TIMED_OUT;
            stop(verdict, new AttemptTimeoutError(name, limitMs));
          }
        });
      }
      this.#interrupt = (reason) => stop(CANCELLED, reason);
      const onAnswer = (answer: T): void => {
        if (open) end({ attempt, verdict: this.#exchange.judge(answer), answered: true, answer });
        else this.#exchange.discard?.(answer);
      };
      const onError = (error: unknown): void => {
        if (!open) return;
        const verdict = this.#exchange.judgeError(error);
        end({ attempt, verdict, answered: false, error: this.#exchange.errorFor(error) });
      };
      try {
        this.#exchange.send(attempt).then(onAnswer, onError);
      } catch (error) {
        onError(error);
      }
    });
  }

  #account(ending: Ending<T>, permit: Permit | undefined, waitedMs: number): void {
    const { attempt, verdict } = ending;
    const durationMs = this.#pipeline.clock.monotonic() - attempt.startedAt;
    const { outcome, detail } = verdict;
    this.#records.push({ attempt: attempt.attempt, outcome, detail, durationMs, waitedMs });
    this.#pipeline.metrics.attempt(outcome);
    const { attemptTimeoutMs } = this.#settings;
    if (!this.#enforced && durationMs > attemptTimeoutMs) this.#note("holdfast.cut-off", "attempt-timeout");
    if (!permit) return;
    if (outcome === "success") permit.succeed(durationMs);
    else if (outcome === "failure") permit.fail(durationMs);
    else if (outcome === "timeout" && attempt.limitMs >= attemptTimeoutMs * FAIR_CHANCE) permit.fail(durationMs);
    else permit.ignore();
  }

  /** How long to wait before the next attempt, in milliseconds; undefined when there is to be none. */
  #backoff({ verdict }: Ending<T>, number: number): number | undefined {
    const { retry, backoff, mode } = this.#settings;
    const { budget, clock, random, closed } = this.#pipeline;
    if (!verdict.retry || number >= retry.maxAttempts || closed) return undefined;
    const ownMs = backoff.delayMs(number, random);
    const askedMs = verdict.retryAfterMs === undefined ? ownMs : clampRetryAfter(verdict.retryAfterMs, ownMs);
    const delayMs = verdict.pushbackMs ?? askedMs;
    // Sleeping towards a deadline only delays the same outcome.
    if (delayMs >= this.#remainingMs()) return undefined;
    if (!budget.withdraw(clock.monotonic())) {
      this.#note("holdfast.rejected", "budget");
      const { name, logger } = this.#pipeline;
      if (this.#enforced) logger.warn({ target: name, after: verdict.detail }, "the retry budget is spent");
      return undefined;
    }
    this.#trace?.event("holdfast.retry", {
      "holdfast.retry.attempt": number + 1,
      "holdfast.retry.delay_ms": delayMs,
      "holdfast.retry.reason": verdict.detail,
      [attr.mode]: mode,
    });
    return this.#enforced ? delayMs : undefined;
  }

  /** Resolves with true when it is time, with false when the target closes, and at once when the caller gives up. */
  #wait(delayMs: number): Promise<boolean> {
    const { clock, waiting } = this.#pipeline;
    return new Promise((resolve) => {
      const wake = (goOn: boolean): void => {
        this.#stopWaiting();
        waiting.delete(stop);
        resolve(goOn);
      };
      const stop = (): void => wake(false);
      waiting.add(stop);
      this.#timer = clock.after(delayMs, () => wake(true));
      // The loop sees the aborted signal by itself.
      this.#interrupt = () => wake(true);
      if (this.#signal?.aborted) wake(true);
    });
  }

  #settle(ending: Ending<T>): T {
    const { attempt, verdict } = ending;
    if (!ending.answered) {
      this.#end(verdict, attempt);
      if (verdict.outcome !== "cancelled") keepAttempts(ending.error, this.#records);
      throw ending.error;
    }
    if (!this.#exchange.deliver) {
      this.#end(verdict, attempt);
      return ending.answer;
    }
    const delivered = this.#exchange.deliver(ending.answer, {
      attempts: this.#records,
      end: (error) => this.#end(error === undefined ? verdict : this.#exchange.judgeError(error), attempt),
    });
    if (!this.#ended) this.#guardTail(attempt);
    return delivered;
  }

  /** The answer's head is out, its body is still coming: the deadline and the caller's signal go on to hold. */
  #guardTail(attempt: Attempt): void {
    const stop = (verdict: Verdict, reason: unknown): void => {
      this.#end(verdict, attempt);
      attempt.abort(reason);
    };
    if (this.#enforced) {
      this.#timer = this.#pipeline.clock.after(Math.max(0, this.#remainingMs()), () => {
        this.#note("holdfast.cut-off", "deadline");
        const error = new DeadlineExceededError(this.#pipeline.name, this.#endsAt - this.#startedAt);
        keepAttempts(error, this.#records);
        stop(DEADLINE, error);
      });
    }
    this.#interrupt = (reason) => stop(CANCELLED, reason);
    if (this.#signal?.aborted) this.#interrupt(this.#signal.reason);
  }

  /** The gate is shut. A retry that it refuses leaves the caller with what the attempt before it brought. */
  #rejected(gate: Rejection, number: number, waitedMs: number, previous: Ending<T> | undefined): T {
    this.#records.push({ attempt: number, outcome: "rejected", detail: REFUSED.detail, durationMs: 0, waitedMs });
    if (previous) return this.#settle(previous);
    const error = BreakerOpenError.of(this.#pipeline.breaker?.name ?? this.#pipeline.name, gate);
    this.#end(REFUSED);
    keepAttempts(error, this.#records);
    throw error;
  }

  #outOfTime(previous: Ending<T> | undefined): DeadlineExceededError {
    this.#note("holdfast.rejected", "deadline");
    if (previous?.answered) this.#exchange.discard?.(previous.answer);
    const cause = previous?.answered === false ? previous.error : undefined;
    const error = new DeadlineExceededError(this.#pipeline.name, this.#endsAt - this.#startedAt, cause);
    this.#end(DEADLINE, previous?.attempt);
    keepAttempts(error, this.#records);
    return error;
  }

  #cancelled(previous: Ending<T> | undefined): unknown {
    if (previous?.answered) this.#exchange.discard?.(previous.answer);
    this.#end(CANCELLED, previous?.attempt);
    return this.#signal?.reason;
  }

  #remainingMs(): number {
    return this.#endsAt - this.#pipeline.clock.monotonic();
  }

  #stopWaiting(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#interrupt = undefined;
  }

  #note(event: string, reason: RejectionReason, attributes: Attributes = {}): void {
    const { mode } = this.#settings;
    this.#pipeline.metrics.rejection(reason, mode);
    this.#trace?.event(event, { [attr.rejectionReason]: reason, [attr.mode]: mode, ...attributes });
  }

  #end(verdict: Verdict, attempt?: Attempt): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWaiting();
    if (this.#onAbort) this.#signal?.removeEventListener("abort", this.#onAbort);
    const durationMs = this.#pipeline.clock.monotonic() - this.#startedAt;
    if (!this.#enforced && durationMs > this.#endsAt - this.#startedAt) this.#note("holdfast.cut-off", "deadline");
    attempt?.trace?.end(verdict);
    this.#trace?.end(verdict, this.#records.length);
    this.#pipeline.metrics.call(verdict.outcome, durationMs);
  }
}
