import { getEventListeners } from "node:events";
import { TestClock } from "@holdfast/testkit";
import { describe, expect, it, vi } from "vitest";
import {
  AttemptTimeoutError,
  attemptsOf,
  createTarget,
  DeadlineExceededError,
  remainingDeadlineMs,
  type Target,
  type TargetOptions,
} from "./index.ts";
import { RecordingGate } from "./testing/recording-gate.ts";

function enforced(options: Partial<TargetOptions> = {}): Target {
  return createTarget({ name: "store", mode: "enforce", random: () => 1, ...options });
}

const forever = (): Promise<never> => new Promise(() => {});

describe("target.run", () => {
  it("returns what the function returns, promise or not", async () => {
    const target = enforced();
    expect(await target.run(() => 1)).toBe(1);
    expect(await target.run(() => Promise.resolve(2))).toBe(2);
  });

  it("passes the function's own error through untouched, with its history beside it", async () => {
    const breaker = new RecordingGate();
    const target = enforced({ breaker });
    const error = Object.freeze(new Error("no such row"));
    const fn = vi.fn(() => Promise.reject(error));
    await expect(target.run(fn)).rejects.toBe(error);
    expect(fn).toHaveBeenCalledTimes(1);
    expect(attemptsOf(error)).toMatchObject([{ attempt: 1, outcome: "failure", detail: "Error" }]);
    expect(breaker.told).toEqual(["fail"]);
  });

  it("treats an error thrown at once like one thrown later", async () => {
    const error = new Error("at once");
    await expect(
      enforced().run(() => {
        throw error;
      }),
    ).rejects.toBe(error);
  });

  it("calls the function again only when it says that it is idempotent", async () => {
    const clock = new TestClock();
    const target = enforced({ clock });
    const numbers: number[] = [];
    const pending = target.run(
      ({ attempt }) => {
        numbers.push(attempt);
        if (attempt < 3) throw new Error("not yet");
        return "done";
      },
      { idempotent: true },
    );
    await clock.advanceAsync(150);
    expect(await pending).toBe("done");
    expect(numbers).toEqual([1, 2, 3]);
  });

  it("lets the caller say which errors speak against the target", async () => {
    const breaker = new RecordingGate();
    const target = enforced({ breaker });
    const notFound = Object.assign(new Error("not found"), { status: 404 });
    const options = { idempotent: true, isFailure: (error: unknown) => (error as { status?: number }).status !== 404 };
    await expect(target.run(() => Promise.reject(notFound), options)).rejects.toBe(notFound);
    expect(breaker.told).toEqual(["succeed"]);
    const broken = { isFailure: () => JSON.parse("{") };
    await expect(target.run(() => Promise.reject(notFound), broken)).rejects.toBe(notFound);
    expect(breaker.told).toEqual(["succeed", "fail"]);
  });

  it("releases the caller when time is up, even if the function does not heed its signal", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, attemptTimeoutMs: 300 });
    const pending = target.run(forever);
    pending.catch(() => {});
    await clock.advanceAsync(300);
    await expect(pending).rejects.toBeInstanceOf(AttemptTimeoutError);
    expect(clock.pendingTimers).toBe(0);
  });

  it("aborts the signal with the error that the caller gets", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, deadlineMs: 200 });
    let reason: unknown;
    const pending = target.run(({ signal }) => {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
      });
      return forever();
    });
    pending.catch(() => {});
    await clock.advanceAsync(200);
    const error = await pending.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(reason).toBe(error);
  });

  it("gives each attempt a signal of its own", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, attemptTimeoutMs: 100 });
    const signals: AbortSignal[] = [];
    const pending = target.run(
      ({ signal, attempt }) => {
        signals.push(signal);
        return attempt === 1 ? forever() : attempt;
      },
      { idempotent: true },
    );
    await clock.advanceAsync(150);
    expect(await pending).toBe(2);
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
  });

  it("forgets what comes after the time is up", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    const target = enforced({ clock, breaker, attemptTimeoutMs: 100 });
    const late = Promise.withResolvers<string>();
    const pending = target.run(() => late.promise);
    pending.catch(() => {});
    await clock.advanceAsync(100);
    late.reject(new Error("late"));
    await expect(pending).rejects.toBeInstanceOf(AttemptTimeoutError);
    expect(breaker.told).toEqual(["fail"]);
  });

  it("ends when the caller aborts, and leaves no listener on the caller's signal", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    const target = enforced({ clock, breaker });
    const controller = new AbortController();
    const { signal } = controller;
    await target.run(() => 1, { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    const pending = target.run(forever, { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    controller.abort("enough");
    await expect(pending).rejects.toBe("enough");
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
    expect(breaker.told).toEqual(["succeed", "ignore"]);
  });

  it("puts what it calls under the attempt's deadline", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, deadlineMs: 1_000, attemptTimeoutMs: 400 });
    const inner = enforced({ clock, deadlineMs: 60_000, attemptTimeoutMs: 60_000 });
    await target.run(async () => {
      expect(remainingDeadlineMs()).toBe(400);
      const pending = inner.run(forever);
      pending.catch(() => {});
      clock.advance(399);
      expect(remainingDeadlineMs()).toBe(1);
    });
    expect(remainingDeadlineMs()).toBeUndefined();
  });

  it("does not blame itself for what another target refused", async () => {
    const breaker = new RecordingGate();
    const shut = new RecordingGate();
    shut.admits = 0;
    const inner = enforced({ name: "inner", breaker: shut });
    const target = enforced({ breaker });
    await expect(target.run(() => inner.run(() => 1), { idempotent: true })).rejects.toMatchObject({
      code: "BREAKER_OPEN",
      breaker: "recording",
    });
    expect(breaker.told).toEqual(["ignore"]);
  });
});

describe("the breaker's gate", () => {
  it("refuses the first attempt with a BreakerOpenError, and nothing is called", async () => {
    const breaker = new RecordingGate();
    breaker.admits = 0;
    const fn = vi.fn();
    const error = await enforced({ breaker })
      .run(fn)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "BREAKER_OPEN", state: "open", since: 1_000, retryAfterMs: 250 });
    expect(attemptsOf(error)).toMatchObject([{ outcome: "rejected" }]);
    expect(fn).not.toHaveBeenCalled();
  });

  it("refuses a retry, and the caller gets the error of the attempt before it", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    breaker.admits = 1;
    const target = enforced({ clock, breaker });
    const error = new Error("the original");
    const pending = target.run(() => Promise.reject(error), { idempotent: true });
    pending.catch(() => {});
    await clock.advanceAsync(50);
    await expect(pending).rejects.toBe(error);
    expect(attemptsOf(error).map(({ outcome }) => outcome)).toEqual(["failure", "rejected"]);
  });
});

describe("modes", () => {
  it("observe lets everything through: no refusal, no cut-off, no retry", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    breaker.admits = 0;
    const target = createTarget({ name: "store", clock, breaker, deadlineMs: 100, attemptTimeoutMs: 50 });
    expect(target.mode).toBe("observe");
    const late = Promise.withResolvers<string>();
    const pending = target.run(() => late.promise);
    await clock.advanceAsync(1_000);
    late.resolve("late, and let through");
    expect(await pending).toBe("late, and let through");
    const fn = vi.fn(() => Promise.reject(new Error("once")));
    await expect(target.run(fn, { idempotent: true })).rejects.toThrow("once");
    expect(fn).toHaveBeenCalledTimes(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("observe tells the breaker how calls went", async () => {
    const breaker = new RecordingGate();
    const target = createTarget({ name: "store", breaker });
    await target.run(() => 1);
    await target.run(() => Promise.reject(new Error("x"))).catch(() => {});
    expect(breaker.told).toEqual(["succeed", "fail"]);
  });

  it("off is the function alone", async () => {
    const breaker = new RecordingGate();
    breaker.admits = 0;
    const clock = new TestClock();
    const target = createTarget({ name: "store", mode: "off", breaker, clock });
    expect(await target.run(({ attempt }) => attempt)).toBe(1);
    const controller = new AbortController();
    const { signal } = controller;
    expect(await target.run((context) => context.signal, { signal })).toBe(signal);
    expect(breaker.told).toEqual([]);
  });
});

describe("reconfiguring a target", () => {
  it("changes what is given and keeps the rest", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, attemptTimeoutMs: 5_000, deadlineMs: 10_000 });
    target.reconfigure({ attemptTimeoutMs: 100 });
    const pending = target.run(forever);
    pending.catch(() => {});
    await clock.advanceAsync(100);
    await expect(pending).rejects.toBeInstanceOf(AttemptTimeoutError);
    target.reconfigure({ mode: "off" });
    expect(target.mode).toBe("off");
  });

  it("leaves calls in flight on the settings they began with", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, attemptTimeoutMs: 500, deadlineMs: 800 });
    const calls = Array.from({ length: 500 }, () =>
      target.run(() => new Promise((resolve) => clock.after(400, () => resolve("ok")))),
    );
    target.reconfigure({ attemptTimeoutMs: 1, deadlineMs: 1, retry: { maxAttempts: 1 } });
    await clock.advanceAsync(400);
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["ok"]));
  });

  it("keeps what the retry budget has on its books", async () => {
    const clock = new TestClock();
    const target = enforced({ clock, retry: { budgetRatio: 0, minRetriesPerSecond: 0.1, baseDelayMs: 1 } });
    const fails = async (): Promise<number> => {
      const error = new Error("always");
      const pending = target.run(() => Promise.reject(error), { idempotent: true });
      pending.catch(() => {});
      await clock.advanceAsync(10);
      await expect(pending).rejects.toBe(error);
      return attemptsOf(error).length;
    };
    expect(await fails()).toBe(2);
    target.reconfigure({ retry: { maxAttempts: 5 } });
    expect(await fails()).toBe(1);
    target.reconfigure({ retry: { minRetriesPerSecond: 0.3 } });
    expect(await fails()).toBe(3);
  });

  it("refuses all of it when part of it is wrong", () => {
    const target = enforced();
    expect(() => target.reconfigure({ mode: "off", deadlineMs: 0 })).toThrow(
      new RangeError("deadlineMs must be a number from 1 to 3600000, not 0"),
    );
    expect(target.mode).toBe("enforce");
  });
});

describe("a target's options", () => {
  it.each([
    [{ name: "" }, /name must be a string that is not empty, not ""/],
    [{ name: "a", mode: "on" }, /mode must be one of "enforce", "observe", "off", not "on"/],
    [{ name: "a", deadlineMs: -1 }, /deadlineMs must be/],
    [{ name: "a", retry: { maxAttempts: 1.5 } }, /retry.maxAttempts must be a whole number from 1 to 20, not 1.5/],
    [{ name: "a", retry: { baseDelayMs: 100, maxDelayMs: 50 } }, /retry.maxDelayMs must be a number from 100/],
    [{ name: "a", urls: ["ledger:8080"] }, /urls\[0\] must be an http or https address, not "ledger:8080"/],
  ])("are checked: %j", (options, message) => {
    expect(() => createTarget(options as TargetOptions)).toThrow(message);
  });
});
