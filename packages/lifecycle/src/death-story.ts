import type { StorySpan } from "@holdfast/core";

/**
 * How a process ended. "no-warning" is what a SIGKILL, a SIGSEGV or the kernel's OOM killer leave behind: nothing;
 * "liveness-kill" the same after the event loop had stood still and liveness probes had failed; "exit" a call of
 * process.exit with another code than 0.
 */
export type DeathCause =
  | "graceful"
  | "exception"
  | "heap-oom"
  | "exit"
  | "grace-exceeded"
  | "liveness-kill"
  | "no-warning";

export interface DeathException {
  type: string;
  message: string;
  stacktrace: string;
  origin: "uncaughtException" | "unhandledRejection";
}

/** What is known of a process that is no more. */
export interface DeathStory {
  cause: DeathCause;
  /** Name of the process's own: random, made at its start. */
  incarnation: string;
  instance: string;
  /** Milliseconds since the epoch. */
  bornAtMs: number;
  /** Milliseconds since the epoch: the exception's time, or the last sign of life, at most 100 ms early. */
  diedAtMs: number;
  exception?: DeathException | undefined;
  /** The incident that the death belongs to; absent after a graceful end. */
  incidentTraceId?: string | undefined;
  /** How many spans were open, and are in `spans`. */
  openSpans: number;
  /** Everything that is told. */
  spans: readonly StorySpan[];
}
