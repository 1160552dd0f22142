import type { Attributes } from "@opentelemetry/api";
import type { AttemptOutcome, AttemptRecord } from "./attempt-record.ts";
import type { AttemptTrace } from "./call-trace.ts";

/** What an outcome means: for the breaker, for the next attempt, for the span. */
export interface Verdict {
  readonly outcome: AttemptOutcome;
  /** The answer's status, the error's code or name. */
  readonly detail: string;
  /** Whether repeating is safe and may help. */
  readonly retry: boolean;
  /** How long the server asked to be left alone, in milliseconds. Clamped to what the backoff would have waited. */
  readonly retryAfterMs?: number | undefined;
  /** How long the server told this client to wait, in milliseconds. Taken as it is. */
  readonly pushbackMs?: number | undefined;
  /** `error.type` of the attempt's span; absent when the span is no error. */
  readonly errorType?: string | undefined;
}

/** One attempt, as the transport sees it. */
export interface AttemptScope {
  readonly attempt: number;
  /** Aborts when the attempt times out, the deadline passes or the caller gives up. Made when first asked for. */
  readonly signal: AbortSignal;
  /** How long this attempt is waited for, in milliseconds; Infinity when nothing cuts it off. */
  readonly limitMs: number;
  /** Milliseconds left of the whole call; Infinity when nothing cuts it off. */
  callRemainingMs(): number;
  readonly trace: AttemptTrace | undefined;
}

/** The time between the answer's head and the end of its body, in which the deadline still holds. */
export interface Tail {
  /** What was tried, this answer's attempt last. */
  readonly attempts: readonly AttemptRecord[];
  /** The body has ended, or broke with an error. */
  end(error?: unknown): void;
}

/** One logical call over one kind of transport: how to send an attempt and what its outcome means. */
export interface Exchange<T> {
  /** Whether an attempt whose fate is unknown (a time-out) may be repeated. */
  readonly repeatable: boolean;
  /** The attempt's span. Asked for only when somebody traces. */
  describe(attempt: number): { name: string; attributes: Attributes };
  /** Sends one attempt. */
  send(scope: AttemptScope): PromiseLike<T>;
  judge(answer: T): Verdict;
  judgeError(error: unknown): Verdict;
  /** What is thrown in place of what the transport threw. */
  errorFor(error: unknown): unknown;
  /** Lets go of an answer that the caller will not see. */
  discard?(answer: T): void;
  /** Hands the answer to the caller; calls `tail.end` when all of it was read. Absent: the answer is all there is. */
  deliver?(answer: T, tail: Tail): T;
}
