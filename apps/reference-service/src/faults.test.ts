import { type Clock, systemClock } from "@holdfast/sdk";
import { seededRandom, TestClock } from "@holdfast/testkit";
import { describe, expect, it, vi } from "vitest";
import { decideHarm, Faults, InjectedError } from "./faults.ts";

describe("the harm that a plan does to one request", () => {
  it("is none by default", () => {
    expect(decideHarm({}, 0)).toEqual({ waitMs: 0, blockMs: 0, crash: false, fail: false });
  });

  it("is a failure for draws below the error rate", () => {
    expect(decideHarm({ errorRate: 0.3 }, 0.29).fail).toBe(true);
    expect(decideHarm({ errorRate: 0.3 }, 0.3).fail).toBe(false);
    expect(decideHarm({ errorRate: 0 }, 0).fail).toBe(false);
    expect(decideHarm({ errorRate: 1 }, 0.999_999).fail).toBe(true);
  });
});

describe("the fault injector", () => {
  it("does nothing until a plan is set, and nothing again after it was cleared", async () => {
    const faults = new Faults();
    await faults.inject();
    faults.set({ errorRate: 1 });
    await expect(faults.inject()).rejects.toThrow(InjectedError);
    faults.clear();
    await faults.inject();
    expect(faults.plan).toBeUndefined();
    expect(faults.requests).toBe(3);
  });

  it("fails about the share of requests that it is told to", async () => {
    const faults = new Faults({ random: seededRandom(7) });
    faults.set({ errorRate: 0.25 });
    let failed = 0;
    for (let request = 0; request < 1_000; request++) await faults.inject().catch(() => failed++);
    expect(failed).toBeGreaterThan(200);
    expect(failed).toBeLessThan(300);
  });

  it("holds every request up for the latency", async () => {
    const clock = new TestClock();
    const faults = new Faults({ clock });
    faults.set({ latencyMs: 80 });
    const passed = vi.fn();
    const request = faults.inject().then(passed);
    clock.advance(79);
    await Promise.resolve();
    expect(passed).not.toHaveBeenCalled();
    clock.advance(1);
    await request;
    expect(passed).toHaveBeenCalled();
  });

  it("blocks the event loop once, not at every request", async () => {
    let looked = 0;
    const clock: Clock = { ...systemClock, monotonic: () => 10 * looked++ };
    const faults = new Faults({ clock });
    faults.set({ blockMs: 100 });
    await faults.inject();
    const looksForOneBlock = looked;
    expect(looksForOneBlock).toBeGreaterThan(10);
    await faults.inject();
    expect(looked - looksForOneBlock).toBeLessThan(5);
    expect(faults.plan).toEqual({ blockMs: 0 });
  });

  it("ends by itself when its time is up", async () => {
    const clock = new TestClock();
    const faults = new Faults({ clock });
    faults.set({ errorRate: 1, ttlMs: 5_000 });
    clock.advance(4_999);
    await expect(faults.inject()).rejects.toThrow(InjectedError);
    clock.advance(1);
    await faults.inject();
  });

  it("is not ended by the time of a plan that was replaced", async () => {
    const clock = new TestClock();
    const faults = new Faults({ clock });
    faults.set({ errorRate: 1, ttlMs: 1_000 });
    faults.set({ errorRate: 1, ttlMs: 60_000 });
    clock.advance(1_000);
    await expect(faults.inject()).rejects.toThrow(InjectedError);
  });

  it("gives the pool's connections back when it is cleared, replaced or out of time", () => {
    const clock = new TestClock();
    const giveBack = vi.fn();
    const occupyPool = vi.fn((_connections: number) => giveBack);
    const faults = new Faults({ clock, occupyPool });
    faults.set({ exhaustPool: 4 });
    expect(occupyPool).toHaveBeenCalledWith(4);
    faults.clear();
    faults.clear();
    expect(giveBack).toHaveBeenCalledTimes(1);
    faults.set({ exhaustPool: 4, ttlMs: 10 });
    faults.set({ exhaustPool: 2, ttlMs: 10 });
    expect(giveBack).toHaveBeenCalledTimes(2);
    clock.advance(10);
    expect(giveBack).toHaveBeenCalledTimes(3);
  });
});
