import { processGlobal } from "@holdfast/core";

/** What came of one attempt of a call. */
export type AttemptOutcome =
  /** Answered, and not with a failure. */
  | "success"
  /** Answered with a failure (HTTP 5xx, a failing gRPC status), or the transport broke, or the function threw. */
  | "failure"
  /** The attempt timeout or the deadline cut it off. */
  | "timeout"
  /** The target asked for less (HTTP 429, RESOURCE_EXHAUSTED): no failure of it. */
  | "overload"
  /** The caller gave up. */
  | "cancelled"
  /** Refused here, before anything was sent. */
  | "rejected";

/** One attempt of a call, as the history of what was returned or thrown keeps it. */
export interface AttemptRecord {
  /** From 1. */
  readonly attempt: number;
  readonly outcome: AttemptOutcome;
  /** The answer's status, the error's code or name: "503", "UNAVAILABLE", "ECONNREFUSED". */
  readonly detail: string;
  /** From its start to its outcome, in milliseconds. */
  readonly durationMs: number;
  /** How long the call waited before this attempt, in milliseconds. */
  readonly waitedMs: number;
}

/** A user's own error passes through untouched, so the history is kept beside it. One map for all copies of the package. */
const histories: WeakMap<object, readonly AttemptRecord[]> = processGlobal(
  "client-attempts",
  1,
  () => new WeakMap<object, readonly AttemptRecord[]>(),
);

/**
 * The attempts behind something that a target returned or threw: a response, an error, a gRPC ServiceError. Empty when
 * there were none, or when it is not from a target.
 */
export function attemptsOf(outcome: unknown): readonly AttemptRecord[] {
  if (typeof outcome !== "object" || outcome === null) return [];
  const kept = histories.get(outcome);
  if (kept) return kept;
  const carried = (outcome as { attempts?: unknown }).attempts;
  return Array.isArray(carried) ? (carried as readonly AttemptRecord[]) : [];
}

/** Keeps the history of an outcome. What is not an object (a thrown string) has none. */
export function keepAttempts(outcome: unknown, attempts: readonly AttemptRecord[]): void {
  if (typeof outcome === "object" && outcome !== null) histories.set(outcome, attempts);
}
