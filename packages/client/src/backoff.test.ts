import { seededRandom } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fullJitter } from "./index.ts";

describe("full jitter", () => {
  it("never waits longer than its ceiling, however many attempts were made", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, draw) => {
        const delay = fullJitter({ baseMs: 50, maxMs: 1_000 }).delayMs(attempt, () => draw);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(1_000);
      }),
    );
  });

  it("doubles its ceiling with each attempt until the cap", () => {
    const { delayMs } = fullJitter({ baseMs: 100, maxMs: 1_000 });
    const ceilings = [1, 2, 3, 4, 5, 6].map((attempt) => delayMs(attempt, () => 1));
    expect(ceilings).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it("spreads waits evenly from zero to the ceiling", () => {
    const { delayMs } = fullJitter({ baseMs: 1_000, maxMs: 1_000 });
    const random = seededRandom(7);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 10_000; draw++) tenths[Math.floor(delayMs(1, random) / 100)]!++;
    for (const count of tenths) expect(count).toBeGreaterThan(850);
  });

  it("raises its cap to the base when only the base is given", () => {
    expect(fullJitter({ baseMs: 5_000 }).delayMs(3, () => 1)).toBe(5_000);
  });

  it("names the option and the value that is out of range", () => {
    expect(() => fullJitter({ baseMs: 0 })).toThrow(new RangeError("baseMs must be a number from 1 to 60000, not 0"));
    expect(() => fullJitter({ baseMs: 500, maxMs: 100 })).toThrow(/maxMs must be a number from 500 .* not 100/);
  });
});
