import { sleep } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { TestClock } from "./index.ts";

describe("the test clock", () => {
  it("stands still until it is moved", () => {
    const clock = new TestClock();
    expect(new Date(clock.now()).toISOString()).toBe("2026-01-01T00:00:00.000Z");
    expect(clock.monotonic()).toBe(0);
    clock.advance(1_500);
    expect(new Date(clock.now()).toISOString()).toBe("2026-01-01T00:00:01.500Z");
    expect(clock.monotonic()).toBe(1_500);
  });

  it("runs due timers in order, each at its own moment, also those started on the way", () => {
    const clock = new TestClock();
    const ran: [string, number][] = [];
    clock.after(20, () => ran.push(["b", clock.monotonic()]));
    clock.after(10, () => {
      ran.push(["a", clock.monotonic()]);
      clock.after(10, () => ran.push(["c", clock.monotonic()]));
      clock.after(100, () => ran.push(["late", clock.monotonic()]));
    });
    clock.advance(50);
    expect(ran).toEqual([
      ["a", 10],
      ["b", 20],
      ["c", 20],
    ]);
    expect(clock.pendingTimers).toBe(1);
    expect(clock.nextTimerMs).toBe(60);
  });

  it("forgets a cancelled timer", () => {
    const clock = new TestClock();
    const timer = clock.after(10, () => expect.unreachable());
    timer.cancel();
    clock.advance(10);
    timer.cancel();
    expect(clock.pendingTimers).toBe(0);
  });

  it("jumps the wall without touching timers or the monotonic clock", () => {
    const clock = new TestClock(1_000_000);
    clock.after(10, () => expect.unreachable());
    clock.jumpWall(-5_000);
    clock.jumpWall(3_600_000);
    expect(clock.now()).toBe(4_595_000);
    expect(clock.monotonic()).toBe(0);
  });

  it("lets promise chains run between timers when asked to", async () => {
    const clock = new TestClock();
    const at: number[] = [];
    const loop = async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(clock, 10);
        at.push(clock.monotonic());
      }
    };
    const done = loop();
    await clock.advanceAsync(100);
    await done;
    expect(at).toEqual([10, 20, 30]);
    expect(clock.monotonic()).toBe(100);
  });

  it("refuses to go back", () => {
    expect(() => new TestClock().advance(-1)).toThrow(RangeError);
    expect(() => new TestClock().after(Number.NaN, () => {})).toThrow(RangeError);
  });
});
