import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LogHistogram } from "./log-histogram.ts";

const latency = fc.double({ min: 0.07, max: 100_000, noNaN: true });

describe("a histogram of latencies", () => {
  it("estimates any quantile within one bucket of the true one", () => {
    fc.assert(
      fc.property(
        fc.array(latency, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, q) => {
          const histogram = new LogHistogram();
          for (const value of values) histogram.record(value);
          const sorted = values.toSorted((a, b) => a - b);
          const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
          const estimate = histogram.quantile(q);
          expect(estimate).toBeGreaterThanOrEqual((exact / 2 ** (1 / 8)) * (1 - 1e-9));
          expect(estimate).toBeLessThanOrEqual(exact * 2 ** (1 / 8) * (1 + 1e-9));
        },
      ),
    );
  });

  it("is the same whether values came into one or into two that were added", () => {
    fc.assert(
      fc.property(fc.array(latency), fc.array(latency), (some, others) => {
        const [one, other, both] = [new LogHistogram(), new LogHistogram(), new LogHistogram()];
        for (const value of some) one.record(value);
        for (const value of others) other.record(value);
        for (const value of [...some, ...others]) both.record(value);
        one.add(other);
        expect([one.count, one.quantile(0.5), one.quantile(0.99)]).toEqual([
          both.count,
          both.quantile(0.5),
          both.quantile(0.99),
        ]);
      }),
    );
  });

  it("takes whatever a sender calls a duration", () => {
    const histogram = new LogHistogram();
    for (const value of [-5, 0, Number.NaN, Number.POSITIVE_INFINITY, 1e300]) histogram.record(value);
    expect(histogram.count).toBe(5);
    expect(histogram.quantile(1)).toBeLessThanOrEqual(2 ** 17);
  });

  it("says 0 of nothing", () => {
    expect(new LogHistogram().quantile(0.99)).toBe(0);
  });
});
