import { type Clock, newSpanId, newTraceId, numberOption, type SpanReference, sleep } from "@holdfast/core";
import type { ShutdownHook, ShutdownHookOptions, ShutdownPhase } from "../lifecycle.ts";
import type { Incident, RecordedPhase, RecordedShutdown } from "../recorder/record-types.ts";
import { runHook, worstOf } from "./run-hook.ts";
import type { ShutdownBudget } from "./shutdown-budget.ts";

export const shutdownPhases: readonly ShutdownPhase[] = ["announce", "drain", "flush", "release"];

/** Kept back so that the exit comes before the platform's SIGKILL, not with it. */
const EXIT_RESERVE_MS = 250;
/** Kept back in release for the story and for the last hook. */
const LAST_RESERVE_MS = 1_000;
/** Least and most that a phase without a budget of its own gets. */
const SHORTEST_PHASE_MS = 250;
const LONGEST_RELEASE_MS = 5_000;

interface RegisteredHook {
  name: string;
  hook: ShutdownHook;
  budgetMs: number;
}

export interface ShutdownRun {
  trigger: string;
  /** Whether to go on accepting requests for a while. */
  lameDuck: boolean;
  /** The shutdown's trace is the open incident's; without one it has its own. */
  incident: Incident | null;
  onBegin: (shutdown: SpanReference) => void;
  /** Told when a phase begins, and when the last one has ended. */
  onProgress: (progress: RecordedShutdown) => void;
  onPhaseEnd: (phase: RecordedPhase) => void;
}

/** The phases of a shutdown, their hooks, and the one deadline above all. */
export class ShutdownSequence {
  readonly #budget: ShutdownBudget;
  readonly #clock: Clock;
  readonly #hooks = new Map<ShutdownPhase, Set<RegisteredHook>>();
  #deadlineMs = Number.POSITIVE_INFINITY;

  constructor(budget: ShutdownBudget, clock: Clock) {
    this.#budget = budget;
    this.#clock = clock;
    for (const phase of shutdownPhases) this.#hooks.set(phase, new Set());
  }

  add(phase: ShutdownPhase, name: string, hook: ShutdownHook, options: ShutdownHookOptions = {}): () => void {
    const hooks = this.#hooks.get(phase);
    if (!hooks) throw new TypeError(`phase must be one of ${shutdownPhases.join(", ")}, not ${String(phase)}`);
    const budgetMs = numberOption("budgetMs", options.budgetMs, Number.POSITIVE_INFINITY, { min: 0 });
    const registered = { name, hook, budgetMs };
    hooks.add(registered);
    return () => void hooks.delete(registered);
  }

  /** What is left until the deadline, in milliseconds; never less than 0. */
  get remainingMs(): number {
    return Math.max(0, this.#deadlineMs - this.#clock.monotonic());
  }

  async run({ trigger, lameDuck, incident, onBegin, onProgress, onPhaseEnd }: ShutdownRun): Promise<RecordedShutdown> {
    const begunMs = this.#clock.monotonic();
    const startMs = this.#clock.now();
    // The wall clock may jump; the spans' durations must not.
    const stamp = (): number => startMs + (this.#clock.monotonic() - begunMs);
    this.#deadlineMs = begunMs + this.#budget.graceMs - EXIT_RESERVE_MS;
    const progress: RecordedShutdown = {
      trigger,
      traceId: incident?.traceId ?? newTraceId(),
      spanId: newSpanId(),
      parentSpanId: incident?.rootSpanId,
      startMs,
      phases: [],
    };
    onBegin(progress);
    for (const phase of shutdownPhases) {
      const record: RecordedPhase = { phase, spanId: newSpanId(), startMs: stamp(), hooks: [] };
      progress.phases.push(record);
      onProgress(progress);
      const lameDuckMs = lameDuck && phase === "announce" ? Math.min(this.#budget.lameDuckMs, this.remainingMs) : 0;
      record.hooks = await this.#runPhase(phase, lameDuckMs);
      record.endMs = stamp();
      record.outcome = worstOf(record.hooks.map((hook) => hook.outcome));
      onPhaseEnd(record);
    }
    progress.endMs = stamp();
    progress.outcome = worstOf(progress.phases.map((phase) => phase.outcome!));
    onProgress(progress);
    return progress;
  }

  async #runPhase(phase: ShutdownPhase, lameDuckMs: number): Promise<RecordedPhase["hooks"]> {
    const budgetMs = this.#budgetOf(phase);
    const hooks = [...this.#hooks.get(phase)!].map((registered) =>
      runHook(registered.name, registered.hook, Math.min(registered.budgetMs, budgetMs), this.#clock),
    );
    if (lameDuckMs > 0) await sleep(this.#clock, lameDuckMs);
    return Promise.all(hooks);
  }

  #budgetOf(phase: ShutdownPhase): number {
    const { lameDuckMs, drainMs, flushMs } = this.#budget;
    const left = this.remainingMs;
    switch (phase) {
      case "announce":
        return Math.min(left, Math.max(lameDuckMs, SHORTEST_PHASE_MS));
      case "drain":
        return Math.min(left, drainMs);
      case "flush":
        return Math.min(left, flushMs);
      case "release":
        return Math.min(left, Math.max(SHORTEST_PHASE_MS, Math.min(LONGEST_RELEASE_MS, left - LAST_RESERVE_MS)));
    }
  }
}
