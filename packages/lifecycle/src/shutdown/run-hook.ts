import { type Clock, messageOf } from "@holdfast/core";
import type { ShutdownHook } from "../lifecycle.ts";
import type { PhaseOutcome } from "../recorder/record-types.ts";

/** What a hook has, after its signal aborted, to end by force. */
const FORCE_MS = 100;

export interface HookResult {
  name: string;
  outcome: PhaseOutcome;
  durationMs: number;
  error?: string | undefined;
}

/** Runs a hook within its budget. Never throws, and never takes much longer. */
export async function runHook(name: string, hook: ShutdownHook, budgetMs: number, clock: Clock): Promise<HookResult> {
  const startMs = clock.monotonic();
  const abort = new AbortController();
  const result = (outcome: PhaseOutcome, error?: string): HookResult => ({
    name,
    outcome,
    durationMs: Math.round(clock.monotonic() - startMs),
    error,
  });
  return new Promise((resolve) => {
    const timer = clock.after(budgetMs, () => {
      abort.abort(new DOMException(`the budget of ${Math.round(budgetMs)} ms is spent`, "TimeoutError"));
      forced = clock.after(FORCE_MS, () => resolve(result("timeout", "it did not end when its budget was spent")));
    });
    let forced: { cancel(): void } | undefined;
    const settle = (outcome: PhaseOutcome, error?: string): void => {
      timer.cancel();
      forced?.cancel();
      resolve(abort.signal.aborted ? result("timeout", error ?? "it was ended by force") : result(outcome, error));
    };
    (async () => hook({ signal: abort.signal, deadlineMs: budgetMs }))().then(
      () => settle("ok"),
      (error: unknown) => settle("error", messageOf(error).slice(0, 500)),
    );
  });
}

/** The worst of several outcomes. */
export function worstOf(outcomes: readonly PhaseOutcome[]): PhaseOutcome {
  if (outcomes.includes("timeout")) return "timeout";
  return outcomes.includes("error") ? "error" : "ok";
}
