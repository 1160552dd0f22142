import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Problems } from "./problems.ts";
import { count, duration, percentage, type Quantity } from "./quantity.ts";

function readBack(quantity: Quantity, value: number): number | undefined {
  return quantity.read(
    { kind: "scalar", at: { line: 1, column: 1 }, value: quantity.write(value) },
    "",
    new Problems(),
  );
}

describe("a quantity", () => {
  it("is read back as it was written", () => {
    const hour = duration({ min: 0, max: 3_600_000 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_600_000 }), (ms) => {
        expect(readBack(hour, ms)).toBe(ms);
      }),
    );
    const share = percentage({ min: 0, max: 1 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000 }), (permille) => {
        expect(readBack(share, permille / 1_000)).toBeCloseTo(permille / 1_000, 12);
      }),
    );
    const size = count({ min: 0, max: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), (n) => {
        expect(readBack(size, n)).toBe(n);
      }),
    );
  });

  it("carries nothing over from the decimals it was written in", () => {
    const hour = duration({ min: 0, max: 3_600_000 });
    for (const [text, ms] of [
      ["1.005s", 1_005],
      ["0.1s", 100],
      ["4.35m", 261_000],
    ] as const) {
      expect(hour.read({ kind: "scalar", at: { line: 1, column: 1 }, value: text }, "", new Problems())).toBe(ms);
    }
  });

  it("checks a number as it checks a document", () => {
    const size = count({ min: 1, max: 10 });
    expect(size.check(4)).toBeUndefined();
    for (const wrong of [0, 11, 4.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(size.check(wrong)).toMatch("must be");
  });
});
