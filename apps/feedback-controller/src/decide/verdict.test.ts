import { describe, expect, it } from "vitest";
import { type EdgeState, judgePool, judgeThreshold } from "./verdict.ts";

const calm: EdgeState = { calls: 2_000, failures: 20, p99Ms: 100 };
const tightened = { old: 0.5, new: 0.35, before: calm, after: calm, opened: false, worstRatio: 0.02 };

describe("the verdict on a threshold", () => {
  it("is unchanged when calls fare as before", () => {
    expect(judgeThreshold(tightened).verdict).toBe("unchanged");
  });

  it("is worse when the breaker opened where the old threshold would not have", () => {
    expect(judgeThreshold({ ...tightened, opened: true, worstRatio: 0.4 }).verdict).toBe("worse");
  });

  it("is improved when it opened earlier in a real incident", () => {
    expect(judgeThreshold({ ...tightened, opened: true, worstRatio: 0.9 }).verdict).toBe("improved");
  });

  it("is worse when more calls fail, by more than chance", () => {
    expect(judgeThreshold({ ...tightened, after: { ...calm, failures: 80 } }).verdict).toBe("worse");
    expect(judgeThreshold({ ...tightened, after: { ...calm, failures: 24 } }).verdict).toBe("unchanged");
  });

  it("is worse when the 99th percentile rose by more than a tenth, if there were calls enough to tell", () => {
    expect(judgeThreshold({ ...tightened, after: { ...calm, p99Ms: 130 } }).verdict).toBe("worse");
    const few = { ...calm, calls: 200, failures: 2 };
    expect(judgeThreshold({ ...tightened, before: few, after: { ...few, p99Ms: 130 } }).verdict).toBe("unchanged");
  });
});

describe("the verdict on a pool", () => {
  const before = { waitMeanMs: 50, serviceTimeMs: 20, throughput: 100 };

  it("is improved when a larger one makes calls wait less, or lets more through", () => {
    const grown = { old: 4, new: 8, before };
    expect(judgePool({ ...grown, after: { ...before, waitMeanMs: 5 } }).verdict).toBe("improved");
    expect(judgePool({ ...grown, after: { ...before, throughput: 150 } }).verdict).toBe("improved");
  });

  it("is worse when a larger one only made the database slower", () => {
    const after = { waitMeanMs: 40, serviceTimeMs: 45, throughput: 95 };
    expect(judgePool({ old: 4, new: 8, before, after }).verdict).toBe("worse");
  });

  it("is unchanged when a larger one brought nothing", () => {
    expect(judgePool({ old: 4, new: 8, before, after: before }).verdict).toBe("unchanged");
  });

  it("is worse when a smaller one makes calls wait, else unchanged", () => {
    const idle = { waitMeanMs: 1, serviceTimeMs: 20, throughput: 100 };
    expect(judgePool({ old: 8, new: 4, before: idle, after: { ...idle, waitMeanMs: 30 } }).verdict).toBe("worse");
    expect(judgePool({ old: 8, new: 4, before: idle, after: idle }).verdict).toBe("unchanged");
  });
});
