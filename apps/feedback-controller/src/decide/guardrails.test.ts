import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { guardProposal } from "./guardrails.ts";

const bound = { min: 0.2, max: 0.8, maxStep: 0.15 };

function guard(old: number, value: number, urgent = false): ReturnType<typeof guardProposal> {
  const proposal = { value, binding: "margin", reason: "", signals: {}, urgent };
  return guardProposal({ old, proposal, bound, grain: 0.01 });
}

describe("guardrails", () => {
  it("let a proposal through that keeps to everything", () => {
    expect(guard(0.5, 0.4)).toEqual({ value: 0.4, binding: "margin" });
  });

  it("cut it to the largest step", () => {
    expect(guard(0.5, 0.2)).toEqual({ value: 0.35, binding: "max-step" });
  });

  it("cut it to the bounds, which win over the step", () => {
    expect(guard(0.25, 0.05)).toEqual({ value: 0.2, binding: "bounds" });
    expect(guard(1, 0.85)).toEqual({ value: 0.8, binding: "bounds" });
  });

  it("drop what is within tolerance, unless it is urgent", () => {
    expect(guard(0.5, 0.46)).toEqual({ hold: "within tolerance" });
    expect(guard(0.5, 0.46, true)).toEqual({ value: 0.46, binding: "margin" });
  });

  it("drop what bounds leave nothing of", () => {
    expect(guard(0.2, 0.1)).toEqual({ hold: "nothing left to move (bounds)" });
  });

  it("hold for any proposal: inside the bounds, within a step unless bounds say otherwise, in whole grains", () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    fc.assert(
      fc.property(share, share, share, share, fc.boolean(), (old, value, a, maxStep, urgent) => {
        const limits = { min: Math.round(a * 50) / 100, max: Math.round(a * 50) / 100 + 0.4, maxStep };
        const proposal = { value, binding: "x", reason: "", signals: {}, urgent };
        const result = guardProposal({ old, proposal, bound: limits, grain: 0.01 });
        if ("hold" in result) return;
        expect(result.value).toBeGreaterThanOrEqual(limits.min);
        expect(result.value).toBeLessThanOrEqual(limits.max);
        const reached = Math.abs(result.value - old) <= maxStep + 1e-6;
        expect(reached || result.value <= limits.min + 0.01 || result.value >= limits.max - 0.01).toBe(true);
      }),
    );
  });

  it("keep connections whole", () => {
    const proposal = { value: 9, binding: "demand", reason: "", signals: {} };
    const result = guardProposal({ old: 4, proposal, bound: { min: 2, max: 20, maxStep: 2.5 }, grain: 1 });
    expect(result).toEqual({ value: 6, binding: "max-step" });
  });
});
