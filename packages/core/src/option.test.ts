import { describe, expect, it } from "vitest";
import { numberOption, wordOption } from "./option.ts";

describe("options", () => {
  it("fill in their default only when they are left out", () => {
    expect(numberOption("openMs", undefined, 5_000, { min: 0 })).toBe(5_000);
    expect(numberOption("openMs", 0, 5_000, { min: 0 })).toBe(0);
    expect(wordOption("mode", undefined, "observe", ["enforce", "observe"])).toBe("observe");
  });

  it("name the option, the value and what would be right", () => {
    expect(() => numberOption("openMs", -1, 5_000, { min: 0 })).toThrow(
      new RangeError("openMs must be a number of 0 or more, not -1"),
    );
    expect(() => numberOption("permits", 1.5, 3, { min: 1, max: 100, integer: true })).toThrow(
      new RangeError("permits must be a whole number from 1 to 100, not 1.5"),
    );
    expect(() => numberOption("openMs", "5", 5_000, { min: 0 })).toThrow(
      new TypeError('openMs must be a number, not "5"'),
    );
    expect(() => numberOption("openMs", Number.NaN, 5_000, { min: 0 })).toThrow(TypeError);
    expect(() => wordOption("mode", "on", "observe", ["enforce", "observe"])).toThrow(
      new TypeError('mode must be one of "enforce", "observe", not "on"'),
    );
  });
});
