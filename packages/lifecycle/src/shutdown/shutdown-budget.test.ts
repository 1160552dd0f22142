import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resolveShutdownBudget, TAIL_MS } from "./shutdown-budget.ts";

describe("shutdown budget", () => {
  it("fits the platform's default grace with room for release and telemetry", () => {
    expect(resolveShutdownBudget({})).toEqual({ graceMs: 30_000, lameDuckMs: 5_000, drainMs: 15_000, flushMs: 5_000 });
  });

  it("refuses what does not fit, and names the sum and its parts", () => {
    expect(() => resolveShutdownBudget({ graceMs: 10_000, lameDuckMs: 4_000, drainMs: 5_000, flushMs: 1_000 })).toThrow(
      "lameDuckMs 4000 + drainMs 5000 + flushMs 1000 + 2000 for release and telemetry = 12000 ms, and graceMs is 10000",
    );
    expect(() => resolveShutdownBudget({ graceMs: 3_000 })).toThrow("= 7000 ms, and graceMs is 3000");
  });

  it("always fits when only grace and lame duck are given and leave anything at all", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: TAIL_MS, max: 600_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (graceMs, share) => {
          const budget = resolveShutdownBudget({ graceMs, lameDuckMs: Math.floor((graceMs - TAIL_MS) * share) });
          expect(budget.lameDuckMs + budget.drainMs + budget.flushMs + TAIL_MS).toBeLessThanOrEqual(graceMs + 1e-6);
          expect(Math.min(budget.drainMs, budget.flushMs)).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
