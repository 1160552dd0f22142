import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RetryBudget, retryBudget } from "./index.ts";

function withdrawAll(budget: RetryBudget, nowMs: number): number {
  let taken = 0;
  while (budget.withdraw(nowMs)) taken++;
  return taken;
}

function deposit(budget: RetryBudget, calls: number, nowMs: number): void {
  for (let call = 0; call < calls; call++) budget.deposit(nowMs);
}

describe("a retry budget", () => {
  it("allows no retry when it has neither a ratio nor a reserve", () => {
    const budget = retryBudget({ ratio: 0, minRetriesPerSecond: 0 });
    deposit(budget, 1_000, 0);
    expect(budget.withdraw(0)).toBe(false);
  });

  it.each([
    [0.2, 100, 20],
    [0.25, 10, 2],
    [0.5, 3, 1],
    [1, 7, 7],
    [0.1, 9, 0],
    [0.3, 10, 3],
  ])("with a ratio of %f allows for %i calls %i retries", (ratio, calls, retries) => {
    const budget = retryBudget({ ratio, minRetriesPerSecond: 0 });
    deposit(budget, calls, 0);
    expect(withdrawAll(budget, 0)).toBe(retries);
  });

  it("hands out its reserve without a single call, ten seconds' worth at once, then as old retries expire", () => {
    const budget = retryBudget({ ratio: 0, minRetriesPerSecond: 3 });
    expect(withdrawAll(budget, 0)).toBe(30);
    expect(withdrawAll(budget, 9_000)).toBe(0);
    expect(withdrawAll(budget, 10_000)).toBe(30);
  });

  it("adds ratio and reserve", () => {
    const budget = retryBudget({ ratio: 0.5, minRetriesPerSecond: 1 });
    deposit(budget, 10, 0);
    expect(withdrawAll(budget, 0)).toBe(15);
  });

  it("forgets calls after ten seconds", () => {
    const budget = retryBudget({ ratio: 1, minRetriesPerSecond: 0 });
    deposit(budget, 5, 0);
    deposit(budget, 3, 5_000);
    expect(budget.balance(9_999)).toBe(8);
    expect(budget.balance(10_000)).toBe(3);
    expect(budget.balance(15_000)).toBe(0);
  });

  it("forgets everything after a long silence", () => {
    const budget = retryBudget({ ratio: 1, minRetriesPerSecond: 1 });
    deposit(budget, 50, 0);
    withdrawAll(budget, 0);
    expect(budget.balance(1_000_000)).toBe(10);
  });

  it("keeps its books when its terms change", () => {
    const budget = retryBudget({ ratio: 0.1, minRetriesPerSecond: 0 });
    deposit(budget, 100, 0);
    expect(withdrawAll(budget, 0)).toBe(10);
    budget.reconfigure({ ratio: 0.3, minRetriesPerSecond: 0 });
    expect(withdrawAll(budget, 0)).toBe(20);
    budget.reconfigure({ ratio: 0.1, minRetriesPerSecond: 0 });
    expect(budget.withdraw(0)).toBe(false);
  });

  it("keeps its terms when the new ones are out of range", () => {
    const budget = retryBudget({ ratio: 0.5, minRetriesPerSecond: 0 });
    deposit(budget, 4, 0);
    expect(() => budget.reconfigure({ ratio: 2 })).toThrow(new RangeError("ratio must be a number from 0 to 1, not 2"));
    expect(budget.balance(0)).toBe(2);
  });

  it("agrees with a plain list of calls and retries, whatever happens when", () => {
    const step = fc.record({
      afterMs: fc.oneof(fc.integer({ min: 0, max: 1_500 }), fc.integer({ min: 0, max: 30_000 })),
      retry: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 0, max: 2 }),
        fc.array(step, { maxLength: 200 }),
        (tenths, perSecond, steps) => {
          const budget = retryBudget({ ratio: tenths / 10, minRetriesPerSecond: perSecond });
          const calls: number[] = [];
          const retries: number[] = [];
          let nowMs = 0;
          for (const { afterMs, retry } of steps) {
            nowMs += afterMs;
            // Slots of a second: what is older than nine full ones and the running one no longer counts.
            const oldest = (Math.floor(nowMs / 1_000) - 9) * 1_000;
            const live = (moments: number[]): number => moments.filter((moment) => moment >= oldest).length;
            // In tenths of a retry, so that the model has no rounding of its own.
            const balance = live(calls) * tenths + perSecond * 100 - live(retries) * 10;
            expect(budget.balance(nowMs)).toBeCloseTo(balance / 10, 6);
            if (retry) {
              expect(budget.withdraw(nowMs)).toBe(balance >= 10);
              if (balance >= 10) retries.push(nowMs);
            } else {
              budget.deposit(nowMs);
              calls.push(nowMs);
            }
          }
        },
      ),
    );
  });

  it("never lets more than the ratio of the calls through, over any ten seconds, when everything fails", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 500, maxLength: 2_000 }), (gaps) => {
        const budget = retryBudget({ ratio: 0.2, minRetriesPerSecond: 0 });
        let nowMs = 0;
        let retries = 0;
        for (const gap of gaps) {
          nowMs += gap;
          budget.deposit(nowMs);
          if (budget.withdraw(nowMs)) retries++;
        }
        expect(retries).toBeLessThanOrEqual(gaps.length * 0.2 + 1e-9);
      }),
    );
  });
});
