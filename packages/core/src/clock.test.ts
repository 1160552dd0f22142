import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Clock, sleep, systemClock } from "./clock.ts";

afterEach(() => void vi.useRealTimers());

describe("the system clock", () => {
  it("waits out a delay that setTimeout would cut to one millisecond", () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(2 ** 31 + 1_000, run);
    vi.advanceTimersByTime(2 ** 31 + 999);
    expect(run).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(run).toHaveBeenCalledOnce();
  });

  it("cancels a delay in any of its legs", () => {
    vi.useFakeTimers();
    const run = vi.fn();
    const timer = systemClock.after(2 ** 31 + 1_000, run);
    vi.advanceTimersByTime(2 ** 31);
    timer.cancel();
    vi.advanceTimersByTime(10_000);
    expect(run).not.toHaveBeenCalled();
  });

  it("keeps no process alive", () => {
    const script = `import { systemClock } from ${JSON.stringify(new URL("./clock.ts", import.meta.url).href)}; systemClock.after(60_000, () => {});`;
    const { status, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 15_000 });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
  });
});

describe("sleep", () => {
  it("rejects at once with the signal's reason, and takes its timer back", async () => {
    const cancel = vi.fn();
    const clock: Clock = { now: () => 0, monotonic: () => 0, after: () => ({ cancel }) };
    const controller = new AbortController();
    const slept = sleep(clock, 1_000, controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(slept).rejects.toBe(reason);
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("never starts when the signal is aborted already", async () => {
    const after = vi.fn();
    const clock: Clock = { now: () => 0, monotonic: () => 0, after };
    await expect(sleep(clock, 1_000, AbortSignal.abort("no"))).rejects.toBe("no");
    expect(after).not.toHaveBeenCalled();
  });

  it("leaves no listener on a signal that outlives it", async () => {
    let fire = (): void => {};
    const clock: Clock = {
      now: () => 0,
      monotonic: () => 0,
      after: (_delayMs, run) => {
        fire = run;
        return { cancel() {} };
      },
    };
    const { signal } = new AbortController();
    const remove = vi.spyOn(signal, "removeEventListener");
    const slept = sleep(clock, 5, signal);
    fire();
    await slept;
    expect(remove).toHaveBeenCalledOnce();
  });
});
