import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openTimeMs } from "./open-time.ts";

describe("the open time", () => {
  it("doubles with every open in a row, up to its ceiling", () => {
    const limits = { openMs: 1_000, maxOpenMs: 5_000 };
    expect([1, 2, 3, 4, 50].map((opens) => openTimeMs(opens, limits, 0))).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  it("leaves no more than a fifth to chance, and is never longer than its ceiling", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (opens, openMs, draw) => {
          const limits = { openMs, maxOpenMs: openMs * 8 };
          const ms = openTimeMs(opens, limits, draw);
          const ceilingMs = Math.min(8, 2 ** Math.min(opens - 1, 10)) * openMs;
          expect(ms).toBeLessThanOrEqual(ceilingMs);
          expect(ms).toBeGreaterThanOrEqual(0.8 * ceilingMs - 1e-6);
        },
      ),
    );
  });
});
