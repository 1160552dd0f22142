import type { LiveSpan, StoryAttributes } from "@holdfast/core";
import type { DeathException } from "../death-story.ts";
import type { ShutdownPhase } from "../lifecycle.ts";
import type { LifecycleState } from "../lifecycle-state.ts";
import type { ProcessIdentity } from "./process-identity.ts";

/** One trace that everything from the first anomaly to the recovery belongs to. */
export interface Incident {
  traceId: string;
  /** The span that opened it: the parent of all others. */
  rootSpanId: string;
  /** Milliseconds since the epoch. */
  openedAtMs: number;
  /** What opened it: "probe", "stall", "shutdown" or "death". */
  openedBy: string;
}

/** A failed probe or a stall of the event loop. */
export interface Anomaly {
  kind: "probe" | "stall";
  traceId: string;
  spanId: string;
  parentSpanId?: string | undefined;
  /** Milliseconds since the epoch. */
  startMs: number;
  /** Absent while a stall lasts. */
  endMs?: number | undefined;
  /** Whether it was exported already by the process itself. */
  told?: boolean | undefined;
  /** Of a probe. */
  path?: string | undefined;
  status?: number | undefined;
  reason?: string | undefined;
  /** Of a probe: how many have failed in this incident, this one included. */
  failures?: number | undefined;
}

export interface Beat {
  /** Milliseconds since the epoch. */
  atMs: number;
  /** How long the event loop had stood still. */
  stallMs: number;
  state: LifecycleState;
}

export interface RecordedIdentity extends ProcessIdentity {
  incarnation: string;
  service: string;
  instance: string;
  /** Milliseconds since the epoch. */
  bornAtMs: number;
  resource: StoryAttributes;
}

export interface RecordedException extends DeathException {
  atMs: number;
  /** False when somebody listened for it and the process may have gone on. */
  fatal: boolean;
  /** The span in whose context it was thrown. */
  span?: { traceId: string; spanId: string } | undefined;
}

/** How a phase went: timeout means that its budget ran out. */
export type PhaseOutcome = "ok" | "error" | "timeout";

export interface RecordedPhase {
  phase: ShutdownPhase;
  spanId: string;
  startMs: number;
  /** Absent while it runs. */
  endMs?: number | undefined;
  outcome?: PhaseOutcome | undefined;
  hooks: { name: string; outcome: PhaseOutcome; durationMs: number; error?: string | undefined }[];
}

export interface RecordedShutdown {
  trigger: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string | undefined;
  startMs: number;
  endMs?: number | undefined;
  outcome?: PhaseOutcome | "forced" | undefined;
  phases: RecordedPhase[];
}

export interface RecordedEnd {
  atMs: number;
  /** "shutdown" through all phases, "forced" by a second signal, "closed" by close(), "exit" by process.exit or for want of work. */
  kind: "shutdown" | "forced" | "closed" | "exit";
  exitCode?: number | undefined;
  /** Whether the shutdown's spans were delivered. */
  told: boolean;
  /** How the last hook went. */
  last?: { name: string; outcome: PhaseOutcome; durationMs: number } | undefined;
}

export type RecordedSpan = LiveSpan;
