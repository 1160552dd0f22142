import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Baseline } from "./baseline.ts";
import { binomialTail, rareCount } from "./binomial.ts";
import { breakerThresholdLaw, standsOut, type ThresholdSignals } from "./breaker-threshold-law.ts";
import type { LawResult, Proposal } from "./law.ts";
import { littleDemand, type PoolSignals, poolSizeLaw } from "./pool-size-law.ts";
import { RecentMax } from "./recent-max.ts";

function proposed(result: LawResult): Proposal {
  if ("hold" in result) throw new Error(`held: ${result.hold}`);
  return result.propose;
}

const ratio = fc.double({ min: 0, max: 1, noNaN: true });

describe("the binomial tail", () => {
  it("is the sum of its terms", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), ratio, fc.integer({ min: 0, max: 41 }), (n, p, k) => {
        let sum = 0;
        let choose = 1;
        for (let i = 0; i <= n; i++) {
          if (i >= k) sum += choose * p ** i * (1 - p) ** (n - i);
          choose = (choose * (n - i)) / (i + 1);
        }
        expect(binomialTail(n, p, k)).toBeCloseTo(sum, 9);
      }),
    );
  });

  it("tells the smallest count that is rare enough", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), ratio, (n, p) => {
        const k = rareCount(n, p, 1e-5);
        expect(binomialTail(n, p, k)).toBeLessThanOrEqual(1e-5);
        if (k > 0) expect(binomialTail(n, p, k - 1)).toBeGreaterThan(1e-5);
      }),
    );
  });
});

describe("the law of the breaker's threshold", () => {
  const signals: ThresholdSignals = {
    baseline: { ratio: 0.01, calls: 5_000 },
    anomaly: undefined,
    callsPerBreakerWindow: 400,
    minimumCalls: 10,
  };
  const any = fc.record({
    ratio,
    calls: fc.integer({ min: 100, max: 1_000_000 }),
    perWindow: fc.integer({ min: 0, max: 100_000 }),
    minimumCalls: fc.integer({ min: 1, max: 1_000 }),
  });
  const ask = (given: { ratio: number; calls: number; perWindow: number; minimumCalls: number }): Proposal =>
    proposed(
      breakerThresholdLaw({
        baseline: { ratio: given.ratio, calls: given.calls },
        anomaly: undefined,
        callsPerBreakerWindow: given.perWindow,
        minimumCalls: given.minimumCalls,
      }),
    );

  it("is 20 % where calls hardly ever fail", () => {
    expect(proposed(breakerThresholdLaw(signals))).toMatchObject({ value: 0.2, binding: "law-minimum" });
  });

  it("keeps ten points above a baseline that is high", () => {
    const { value, binding } = proposed(
      breakerThresholdLaw({ ...signals, baseline: { ratio: 0.3, calls: 5_000 }, callsPerBreakerWindow: 2_000 }),
    );
    expect(value).toBeCloseTo(0.4, 10);
    expect(binding).toBe("margin");
  });

  it("keeps three deviations above it where the breaker judges by few calls", () => {
    const few = { ...signals, baseline: { ratio: 0.25, calls: 5_000 }, callsPerBreakerWindow: 60 };
    const { value, signals: told } = proposed(breakerThresholdLaw(few));
    expect(told.margin).toBeCloseTo(3 * Math.sqrt((0.25 * 0.75) / 60), 10);
    expect(value).toBeGreaterThanOrEqual(0.25 + told.margin!);
  });

  it("always lies between 20 and 80 %, and at the baseline plus ten points at least", () => {
    fc.assert(
      fc.property(any, (given) => {
        const { value } = ask(given);
        expect(value).toBeGreaterThanOrEqual(0.2);
        expect(value).toBeLessThanOrEqual(0.8);
        expect(value).toBeGreaterThanOrEqual(Math.min(0.8, given.ratio + 0.1));
      }),
    );
  });

  it("never opens on a healthy window by chance more than once in 100,000, where it may choose at all", () => {
    fc.assert(
      fc.property(any, (given) => {
        const { value } = ask(given);
        const sample = Math.min(1_000, Math.max(given.minimumCalls, given.perWindow));
        if (value < 0.8)
          expect(binomialTail(sample, given.ratio, Math.ceil(value * sample - 1e-9))).toBeLessThanOrEqual(1e-5);
      }),
    );
  });

  it("asks for more where calls fail more", () => {
    fc.assert(
      fc.property(any, ratio, (given, other) => {
        const [low, high] = [Math.min(given.ratio, other), Math.max(given.ratio, other)];
        // The noise falls again above one half, where the law is at its maximum anyway.
        fc.pre(high <= 0.5);
        expect(ask({ ...given, ratio: low }).value).toBeLessThanOrEqual(ask({ ...given, ratio: high }).value + 1e-12);
      }),
    );
  });

  it("says nothing in an incident, or before enough was seen", () => {
    expect(breakerThresholdLaw({ ...signals, anomaly: "the breaker is open" })).toEqual({
      hold: "the breaker is open",
    });
    expect(breakerThresholdLaw({ ...signals, baseline: undefined })).toHaveProperty("hold");
    expect(breakerThresholdLaw({ ...signals, baseline: { ratio: 0, calls: 99 } })).toHaveProperty("hold");
  });

  it("tells failures that stand out from those that are usual", () => {
    expect(standsOut(1_000, 150, 0.01)).toBe(true);
    expect(standsOut(1_000, 60, 0.01)).toBe(false);
    expect(standsOut(20, 6, 0.2)).toBe(false);
    expect(standsOut(5, 5, 0.01)).toBe(false);
  });
});

describe("the baseline", () => {
  it("is the share of failures over its steps", () => {
    const baseline = new Baseline({ halfLifeMs: 1e12, quarantineMs: 0 });
    for (let i = 0; i < 10; i++) baseline.step(i * 1_000, 100, 2, false);
    expect(baseline.estimate!.ratio).toBeCloseTo(0.02, 9);
    expect(baseline.estimate!.calls).toBeCloseTo(1_000, 3);
  });

  it("stands still in an incident, also for its first moments, which nobody had noticed yet", () => {
    const baseline = new Baseline({ halfLifeMs: 100_000, quarantineMs: 5_000 });
    let nowMs = 0;
    const step = (failures: number, anomalous: boolean): void => {
      nowMs += 1_000;
      baseline.step(nowMs, 100, failures, anomalous);
    };
    for (let i = 0; i < 20; i++) step(1, false);
    const before = baseline.estimate!.ratio;
    for (let i = 0; i < 4; i++) step(90, false);
    for (let i = 0; i < 10; i++) step(90, true);
    for (let i = 0; i < 20; i++) step(1, false);
    expect(baseline.estimate!.ratio).toBeCloseTo(before, 9);
  });

  it("forgets half in its half-life of calm", () => {
    const baseline = new Baseline({ halfLifeMs: 10_000, quarantineMs: 0 });
    baseline.step(0, 1_000, 0, false);
    baseline.step(10_000, 0, 0, false);
    expect(baseline.estimate!.calls).toBeCloseTo(500, 6);
  });

  it("is never outside of what was seen", () => {
    const step = fc.record({ calls: fc.integer({ min: 0, max: 1_000 }), share: ratio, anomalous: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const baseline = new Baseline({ halfLifeMs: 3_000, quarantineMs: 2_000 });
        for (const [index, { calls, share, anomalous }] of steps.entries())
          baseline.step(index * 1_000, calls, Math.floor(calls * share), anomalous);
        const estimate = baseline.estimate?.ratio ?? 0;
        expect(estimate).toBeGreaterThanOrEqual(0);
        expect(estimate).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe("the law of the pool's size", () => {
  const calm: PoolSignals = {
    size: 10,
    instances: 4,
    waits: 1_000,
    waitMeanMs: 1,
    throughput: 100,
    serviceTimeMs: 20,
    recentDemand: 3,
    budget: { maxConnections: 100, reserved: 3, others: 0 },
  };

  it("asks for what Little's law says, and a quarter more", () => {
    expect(littleDemand(100, 20)).toBe(3);
    expect(littleDemand(0, 0)).toBe(1);
  });

  it("grows when callers wait more than 20 ms", () => {
    const crowded = { ...calm, size: 4, waitMeanMs: 35, throughput: 80, serviceTimeMs: 50 };
    expect(proposed(poolSizeLaw(crowded))).toMatchObject({ value: 5, binding: "demand" });
    expect(poolSizeLaw({ ...crowded, waitMeanMs: 20 })).toHaveProperty("hold");
  });

  it("never grows without a guard", () => {
    const crowded = { ...calm, size: 4, waitMeanMs: 500, throughput: 80, serviceTimeMs: 50, budget: undefined };
    expect(poolSizeLaw(crowded)).toHaveProperty("hold");
  });

  it("shrinks to the peak of lately when nobody waits", () => {
    expect(proposed(poolSizeLaw({ ...calm, recentDemand: 6 })).value).toBe(6);
    expect(poolSizeLaw({ ...calm, recentDemand: 10 })).toHaveProperty("hold");
    expect(poolSizeLaw({ ...calm, waitMeanMs: 10 })).toHaveProperty("hold");
  });

  it("brings a fleet that outgrew the database back at once, waits or not", () => {
    const outgrown = { ...calm, size: 20, instances: 8, waitMeanMs: 100 };
    expect(proposed(poolSizeLaw(outgrown))).toMatchObject({ value: 9, binding: "connection-guard", urgent: true });
  });

  it("never proposes a growth that takes more than 0.8 x (max_connections - reserved) with everybody else's", () => {
    const any = fc.record({
      size: fc.integer({ min: 1, max: 200 }),
      instances: fc.integer({ min: 1, max: 50 }),
      waits: fc.integer({ min: 0, max: 10_000 }),
      waitMeanMs: fc.double({ min: 0, max: 5_000, noNaN: true }),
      throughput: fc.double({ min: 0, max: 10_000, noNaN: true }),
      serviceTimeMs: fc.double({ min: 0, max: 2_000, noNaN: true }),
      recentDemand: fc.integer({ min: 1, max: 500 }),
      budget: fc.record({
        maxConnections: fc.integer({ min: 1, max: 5_000 }),
        reserved: fc.integer({ min: 0, max: 50 }),
        others: fc.integer({ min: 0, max: 2_000 }),
      }),
    });
    fc.assert(
      fc.property(any, (signals) => {
        const result = poolSizeLaw(signals);
        if ("hold" in result) return;
        const { value } = result.propose;
        const { maxConnections, reserved, others } = signals.budget;
        const allowed = 0.8 * (maxConnections - reserved);
        expect(Number.isInteger(value)).toBe(true);
        expect(value).toBeGreaterThanOrEqual(1);
        if (value > signals.size) expect(value * signals.instances + others).toBeLessThanOrEqual(allowed);
        else expect(value).toBeLessThan(signals.size);
      }),
    );
  });
});

describe("the largest value of late", () => {
  it("is the maximum of its horizon, once a whole one was watched", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 12, maxLength: 60 }), (values) => {
        const recent = new RecentMax(10);
        for (const [nowMs, value] of values.entries()) {
          recent.add(value, nowMs);
          const expected = nowMs < 10 ? undefined : Math.max(...values.slice(nowMs - 10, nowMs + 1));
          expect(recent.value(nowMs)).toBe(expected);
        }
      }),
    );
  });
});
