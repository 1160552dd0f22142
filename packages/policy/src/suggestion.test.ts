import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editDistance, suggestion } from "./suggestion.ts";

const keys = ["url", "urls", "mode", "deadline", "attemptTimeout", "retry", "breaker", "pool", "tuning"];

describe("a suggestion", () => {
  it.each([
    ["deadlin", "deadline"],
    ["Deadline", "deadline"],
    ["deadlineMs", "deadline"],
    ["timeout", "attemptTimeout"],
    ["retires", "retry"],
    ["braeker", "breaker"],
    ["pol", "pool"],
    ["modes", "mode"],
  ])("for %s is %s", (given, meant) => expect(suggestion(given, keys)).toBe(meant));

  it("is not made for what resembles nothing, or is no word at all", () => {
    expect(suggestion("hedge", keys)).toBeUndefined();
    expect(suggestion("x", keys)).toBeUndefined();
    expect(suggestion("deadline".repeat(10_000), keys)).toBeUndefined();
  });

  it("rests on a distance that is one", () => {
    const short = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(short, short, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(editDistance(a, b)).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
      }),
    );
  });
});
