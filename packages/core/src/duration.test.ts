import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, parseDuration } from "./duration.ts";

describe("durations", () => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });

  it.each([
    ["250ms", 250],
    ["1.5s", 1_500],
    ["2m", 120_000],
    ["1h", 3_600_000],
  ])("reads %s", (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(["", "5", "ms", "-1s", "1 s", "1d", "1e3ms", "s1", "1s2ms", "NaNms"])(
    "refuses %j and says what would be right",
    (text) => {
      expect(() => parseDuration(text)).toThrow(/is not a duration: write a number and a unit/);
    },
  );
});
