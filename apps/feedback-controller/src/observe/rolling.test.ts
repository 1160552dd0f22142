import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CallTally, MeanTally, Rolling } from "./rolling.ts";

describe("a rolling window", () => {
  it("sums what is younger than nine tenths of it, and nothing that is older than it", () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 700 }), value: fc.integer({ min: 1, max: 100 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const window = new Rolling(1_000, () => new MeanTally());
        const seen: { atMs: number; value: number }[] = [];
        let nowMs = 0;
        for (const { afterMs, value } of steps) {
          nowMs += afterMs;
          window.at(nowMs).record(value, 1);
          seen.push({ atMs: nowMs, value });
        }
        const total = window.total(nowMs).sum;
        const sumSince = (ageMs: number): number =>
          seen.filter(({ atMs }) => nowMs - atMs < ageMs).reduce((sum, { value }) => sum + value, 0);
        expect(total).toBeGreaterThanOrEqual(sumSince(900));
        expect(total).toBeLessThanOrEqual(sumSince(1_000));
      }),
    );
  });

  it("counts calls by weight, and samples as they are", () => {
    const window = new Rolling(1_000, () => new CallTally());
    window.at(0).record(10, false, 4);
    window.at(150).record(1, true, 4);
    const total = window.total(200);
    expect([total.calls, total.failures, total.samples, total.failedSamples]).toEqual([8, 4, 2, 1]);
    expect(total.latency.count).toBe(4);
  });
});
