import { describe, expect, it } from "vitest";
import { seededRandom } from "./index.ts";

const draw = (seed: number, count: number) => Array.from({ length: count }, seededRandom(seed));

describe("seeded random", () => {
  it("repeats itself for the same seed and only for that", () => {
    expect(draw(7, 100)).toEqual(draw(7, 100));
    expect(draw(7, 100)).not.toEqual(draw(8, 100));
  });

  it("spreads evenly from 0 to 1", () => {
    const numbers = draw(1, 100_000);
    expect(Math.min(...numbers.slice(0, 10_000))).toBeGreaterThanOrEqual(0);
    for (let tenth = 0; tenth < 10; tenth++) {
      const inside = numbers.filter((number) => number >= tenth / 10 && number < (tenth + 1) / 10).length;
      expect(inside).toBeGreaterThan(9_500);
      expect(inside).toBeLessThan(10_500);
    }
  });
});
