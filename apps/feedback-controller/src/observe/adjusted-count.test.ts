import { describe, expect, it } from "vitest";
import { adjustedCount } from "./adjusted-count.ts";

describe("how many spans a sampled one stands for", () => {
  it.each([
    ["", 1],
    ["vendor=x", 1],
    ["ot=th:0", 1],
    ["ot=th:8", 2],
    ["ot=th:c", 4],
    ["ot=rv:0123456789abcd;th:fd70a4", 100.00000149011612],
    ["vendor=th:8,ot=th:c;rv:ff", 4],
    ["ot=th:nonsense", 1],
  ])("%s: %d", (traceState, count) => {
    expect(adjustedCount(traceState)).toBeCloseTo(count, 3);
  });
});
