import { numberOption } from "@holdfast/core";

export interface ShutdownBudget {
  graceMs: number;
  lameDuckMs: number;
  drainMs: number;
  flushMs: number;
}

/** What release, telemetry and the exit itself need behind the phases that have budgets of their own. */
export const TAIL_MS = 2_000;
const DEFAULT_DRAIN_MS = 15_000;
const DEFAULT_FLUSH_MS = 5_000;
/** Flush's part of what is left to it and drain together, where that is little. */
const FLUSH_SHARE = 0.25;

/**
 * Fits the shutdown into the grace that the platform gives: whatever lies beyond is cut off by SIGKILL, and nobody would
 * learn of it before a deployment drops requests.
 *
 * @throws RangeError with the sum, when it does not fit
 */
export function resolveShutdownBudget(options: {
  graceMs?: number | undefined;
  lameDuckMs?: number | undefined;
  drainMs?: number | undefined;
  flushMs?: number | undefined;
}): ShutdownBudget {
  const graceMs = numberOption("graceMs", options.graceMs, 30_000, { min: TAIL_MS, max: 86_400_000 });
  const lameDuckMs = numberOption("lameDuckMs", options.lameDuckMs, 5_000, { min: 0 });
  const leftMs = Math.max(0, graceMs - TAIL_MS - lameDuckMs);
  const forBoth = Math.max(0, leftMs - (options.drainMs ?? 0));
  const flushMs = numberOption(
    "flushMs",
    options.flushMs,
    Math.min(DEFAULT_FLUSH_MS, options.drainMs === undefined ? forBoth * FLUSH_SHARE : forBoth),
    { min: 0 },
  );
  const drainMs = numberOption("drainMs", options.drainMs, Math.min(DEFAULT_DRAIN_MS, Math.max(0, leftMs - flushMs)), {
    min: 0,
  });
  const sumMs = lameDuckMs + drainMs + flushMs + TAIL_MS;
  if (sumMs > graceMs) {
    throw new RangeError(
      `the shutdown does not fit the grace: lameDuckMs ${lameDuckMs} + drainMs ${drainMs} + flushMs ${flushMs} + ` +
        `${TAIL_MS} for release and telemetry = ${sumMs} ms, and graceMs is ${graceMs}`,
    );
  }
  return { graceMs, lameDuckMs, drainMs, flushMs };
}
