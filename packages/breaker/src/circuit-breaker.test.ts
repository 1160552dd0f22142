import { seededRandom, TestClock } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { BreakerOpenError } from "./breaker-open-error.ts";
import { type BreakerOptions, CircuitBreaker } from "./circuit-breaker.ts";
import type { Permit } from "./permit.ts";
import type { Transition } from "./transition.ts";

function make(options: Partial<BreakerOptions> = {}) {
  const clock = new TestClock();
  const breaker = new CircuitBreaker({
    name: "target",
    mode: "enforce",
    openMs: 1_000,
    consecutiveFailures: 3,
    leaseMs: 1_000,
    clock,
    random: () => 0,
    ...options,
  });
  onTestFinished(() => breaker.close());
  const transitions: Transition[] = [];
  breaker.onTransition((transition) => void transitions.push(transition));
  return { breaker, clock, transitions };
}

function admitted(breaker: CircuitBreaker): Permit {
  const permit = breaker.tryAcquire();
  if (!permit.admitted) throw new Error(`the breaker is ${permit.state}`);
  return permit;
}

function fail(breaker: CircuitBreaker, times: number): void {
  for (let time = 0; time < times; time++) admitted(breaker).fail();
}

function succeed(breaker: CircuitBreaker, times: number): void {
  for (let time = 0; time < times; time++) admitted(breaker).succeed();
}

describe("a closed breaker", () => {
  it("opens at so many failures in a row", () => {
    const { breaker } = make();
    succeed(breaker, 100);
    fail(breaker, 2);
    expect(breaker.state).toBe("closed");
    fail(breaker, 1);
    expect(breaker.state).toBe("open");
  });

  it("opens at a failure rate, once enough calls have finished", () => {
    const { breaker } = make({ consecutiveFailures: 0, minimumCalls: 10, failureRateThreshold: 0.4 });
    succeed(breaker, 5);
    fail(breaker, 4);
    expect(breaker.state).toBe("closed");
    succeed(breaker, 1);
    expect(breaker.state).toBe("closed");
    fail(breaker, 1);
    expect(breaker.state).toBe("open");
  });

  it("does not count calls in flight", () => {
    const { breaker } = make({ consecutiveFailures: 0, minimumCalls: 10 });
    for (let call = 0; call < 60; call++) admitted(breaker);
    fail(breaker, 10);
    expect(breaker.state).toBe("open");
  });

  it("forgets failures that are older than its window", () => {
    const { breaker, clock } = make({ windowMs: 1_000 });
    fail(breaker, 2);
    clock.advance(1_000);
    fail(breaker, 2);
    expect(breaker.state).toBe("closed");
  });

  it("takes one word per permit", () => {
    const { breaker } = make();
    const permit = admitted(breaker);
    for (let time = 0; time < 5; time++) permit.fail();
    expect(breaker.snapshot()).toMatchObject({ state: "closed", window: { failures: 1 }, counts: { failures: 1 } });
  });

  it("counts an ignored call as neither", () => {
    const { breaker } = make();
    fail(breaker, 2);
    admitted(breaker).ignore();
    expect(breaker.snapshot()).toMatchObject({ window: { failures: 2, run: 2 }, counts: { ignored: 1 } });
  });
});

describe("an open breaker", () => {
  it("rejects, and says since when and for how long", () => {
    const { breaker, clock } = make();
    const openedAtMs = clock.now();
    fail(breaker, 3);
    clock.advance(400);
    expect(breaker.tryAcquire()).toEqual({ admitted: false, state: "open", sinceMs: openedAtMs, retryAfterMs: 600 });
  });

  it("ignores the late results of calls from before the trip", () => {
    const { breaker, clock } = make();
    const late = [admitted(breaker), admitted(breaker), admitted(breaker)];
    fail(breaker, 3);
    clock.advance(1_000);
    const trial = admitted(breaker);
    expect(breaker.state).toBe("half-open");
    for (const permit of late.slice(0, 2)) permit.succeed();
    late[2]!.fail();
    expect(breaker.state).toBe("half-open");
    trial.succeed();
    admitted(breaker).succeed();
    expect(breaker.state).toBe("closed");
  });

  it("keeps its time when the wall clock jumps", () => {
    const { breaker, clock } = make();
    fail(breaker, 3);
    clock.jumpWall(-3_600_000);
    expect(breaker.tryAcquire()).toMatchObject({ admitted: false, retryAfterMs: 1_000 });
    clock.advance(1_000);
    expect(breaker.tryAcquire().admitted).toBe(true);
  });

  it("may stay open for longer than a timer can wait", () => {
    const { breaker, clock } = make({ openMs: 86_400_000, maxOpenMs: 86_400_000 });
    fail(breaker, 3);
    clock.advance(86_399_999);
    expect(breaker.tryAcquire().admitted).toBe(false);
    clock.advance(1);
    expect(breaker.tryAcquire().admitted).toBe(true);
  });
});

describe("a half-open breaker", () => {
  function halfOpen(options: Partial<BreakerOptions> = {}) {
    const made = make(options);
    fail(made.breaker, 3);
    made.clock.advance(1_000);
    return made;
  }

  it("admits so many trials and rejects the rest", () => {
    const { breaker } = halfOpen({ halfOpenPermits: 3 });
    for (let trial = 0; trial < 3; trial++) admitted(breaker);
    expect(breaker.tryAcquire()).toMatchObject({ admitted: false, state: "half-open" });
  });

  it("closes with an empty window once enough trials succeeded", () => {
    const { breaker, transitions } = halfOpen({ halfOpenPermits: 4, halfOpenSuccessRatio: 0.75 });
    succeed(breaker, 2);
    fail(breaker, 1);
    expect(breaker.state).toBe("half-open");
    succeed(breaker, 1);
    expect(breaker.snapshot()).toMatchObject({ state: "closed", window: { successes: 0, failures: 0, run: 0 } });
    expect(transitions.map(({ from, to }) => `${from} ${to}`)).toEqual([
      "closed open",
      "open half-open",
      "half-open closed",
    ]);
    fail(breaker, 2);
    expect(breaker.state).toBe("closed");
  });

  it("re-opens for longer when too many trials fail, and for the first time's length after a close", () => {
    const { breaker, clock } = halfOpen({ maxOpenMs: 3_000 });
    for (const openMs of [2_000, 3_000, 3_000]) {
      fail(breaker, 2);
      expect(breaker.snapshot()).toMatchObject({ state: "open", retryAfterMs: openMs });
      clock.advance(openMs);
    }
    succeed(breaker, 2);
    fail(breaker, 3);
    expect(breaker.snapshot()).toMatchObject({ state: "open", retryAfterMs: 1_000 });
  });

  it("does not get stuck on trials that never end: they count as failed when their time is up", () => {
    const { breaker, clock } = halfOpen();
    const hung = [admitted(breaker), admitted(breaker), admitted(breaker)];
    clock.advance(799);
    expect(breaker.tryAcquire()).toMatchObject({ admitted: false, state: "half-open" });
    clock.advance(1);
    expect(breaker.tryAcquire()).toMatchObject({ admitted: false, state: "open", retryAfterMs: 2_000 });
    for (const permit of hung) permit.succeed();
    expect(breaker.state).toBe("open");
    clock.advance(2_000);
    expect(breaker.tryAcquire().admitted).toBe(true);
  });

  it("gives an ignored trial's place to the next call", () => {
    const { breaker } = halfOpen({ halfOpenPermits: 1 });
    admitted(breaker).ignore();
    expect(breaker.tryAcquire().admitted).toBe(true);
  });
});

describe("modes", () => {
  it("observe admits every call, moves as enforce would, and says what it would have rejected", () => {
    const { breaker, clock } = make({ mode: "observe" });
    fail(breaker, 3);
    expect(breaker.state).toBe("open");
    const permit = admitted(breaker);
    expect(permit.observed).toMatchObject({ admitted: false, state: "open", retryAfterMs: 1_000 });
    permit.succeed();
    expect(breaker.snapshot()).toMatchObject({ state: "open", counts: { observed: 1, rejections: 0 } });
    clock.advance(1_000);
    expect(admitted(breaker).observed).toBeUndefined();
  });

  it("off admits every call and counts nothing", () => {
    const { breaker } = make({ mode: "off" });
    fail(breaker, 100);
    expect(breaker.snapshot()).toMatchObject({ state: "closed", counts: { failures: 0 } });
  });

  it("is observe unless said otherwise", () => {
    const breaker = new CircuitBreaker({ name: "target" });
    onTestFinished(() => breaker.close());
    expect(breaker.mode).toBe("observe");
  });
});

describe("reconfigure", () => {
  it("keeps window and state, and results of calls in flight", () => {
    const { breaker } = make({ consecutiveFailures: 5 });
    fail(breaker, 3);
    const inFlight = admitted(breaker);
    breaker.reconfigure({ windowMs: 20_000, minimumCalls: 50, consecutiveFailures: 4 });
    expect(breaker.snapshot().window).toEqual({ successes: 0, failures: 3, run: 3 });
    inFlight.fail();
    expect(breaker.state).toBe("open");
    breaker.reconfigure({ failureRateThreshold: 0.9 });
    expect(breaker.state).toBe("open");
  });

  it("turns an open breaker's rejections off and on again with its mode", () => {
    const { breaker } = make();
    fail(breaker, 3);
    for (const [mode, admits] of [
      ["off", true],
      ["enforce", false],
      ["observe", true],
      ["enforce", false],
    ] as const) {
      breaker.reconfigure({ mode });
      expect(breaker.tryAcquire().admitted).toBe(admits);
    }
  });

  it("shortens an open that is longer than the new ceiling", () => {
    const { breaker } = make();
    fail(breaker, 3);
    breaker.reconfigure({ openMs: 100, maxOpenMs: 200 });
    expect(breaker.snapshot().retryAfterMs).toBe(200);
  });

  it("changes nothing when a setting is wrong", () => {
    const { breaker } = make();
    const before = breaker.snapshot().settings;
    expect(() => breaker.reconfigure({ windowMs: 500, failureRateThreshold: 1.5 })).toThrow(
      new RangeError("failureRateThreshold must be a number from 0 to 1, not 1.5"),
    );
    expect(breaker.snapshot().settings).toEqual(before);
  });
});

describe("options", () => {
  it.each([
    [{ name: "" }, "name must have 1 to 200 characters"],
    [{ name: "a{b}" }, "no braces"],
    [{ identity: { service: "a/b" } }, "identity.service must have"],
    [{ failureRateThreshold: 0 }, "failureRateThreshold must be above 0"],
    [{ openMs: 200_000 }, "openMs must be a number from 1 to 120000, not 200000"],
    [{ halfOpenPermits: 1.5 }, "halfOpenPermits must be a whole number"],
    [{ scope: "cluster" as const }, 'scope "cluster" needs a store'],
  ])("%j are refused with the option and the value", (options, message) => {
    expect(() => new CircuitBreaker({ name: "target", ...options })).toThrow(message);
  });
});

describe("execute", () => {
  it("returns what the call returned, undefined too, and counts it as success", async () => {
    const { breaker } = make();
    expect(await breaker.execute(() => Promise.resolve(7))).toBe(7);
    expect(await breaker.execute(() => undefined)).toBeUndefined();
    expect(breaker.counts.successes).toBe(2);
  });

  it("throws what the call threw, untouched", async () => {
    const { breaker } = make();
    const error = { not: "even an error" };
    await expect(breaker.execute(() => Promise.reject(error))).rejects.toBe(error);
    expect(breaker.counts.failures).toBe(1);
  });

  it("throws a typed error without a stack when it rejects, and makes no call", async () => {
    const { breaker } = make();
    fail(breaker, 3);
    let calls = 0;
    const error = await breaker.execute(() => Promise.resolve(calls++)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BreakerOpenError);
    expect(error).toMatchObject({ code: "BREAKER_OPEN", breaker: "target", state: "open", retryAfterMs: 1_000 });
    expect((error as Error).stack).not.toContain("\n    at ");
    expect(new Error("others keep theirs").stack).toContain("\n    at ");
    expect(calls).toBe(0);
    expect(breaker.counts.rejections).toBe(1);
  });

  it("counts a caller's own abort as neither success nor failure", async () => {
    const { breaker } = make();
    const abort = new AbortController();
    const call = breaker.execute(
      (signal) => new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason))),
      { signal: abort.signal },
    );
    abort.abort();
    await expect(call).rejects.toThrow("aborted");
    expect(breaker.counts).toMatchObject({ failures: 0, ignored: 1 });
    await expect(breaker.execute(() => Promise.resolve(1), { signal: abort.signal })).rejects.toThrow("aborted");
    expect(breaker.counts).toMatchObject({ successes: 0, ignored: 1 });
  });

  it("lets isFailure judge values and errors", async () => {
    const { breaker } = make({
      isFailure: (outcome) => (outcome.ok ? outcome.value === 503 : outcome.error === "mine" ? "ignore" : false),
    });
    await breaker.execute(() => Promise.resolve(503));
    await breaker.execute(() => Promise.resolve(200));
    await breaker.execute(() => Promise.reject("mine")).catch(() => {});
    await breaker.execute(() => Promise.reject("theirs")).catch(() => {});
    expect(breaker.counts).toMatchObject({ failures: 1, successes: 2, ignored: 1 });
  });

  it("hides no result behind a judge or a listener that throws", async () => {
    const { breaker } = make({
      consecutiveFailures: 1,
      isFailure: () => {
        throw new Error("judge");
      },
    });
    breaker.onTransition(() => {
      throw new Error("listener");
    });
    expect(await breaker.execute(() => Promise.resolve("fine"))).toBe("fine");
    fail(breaker, 1);
    expect(breaker.state).toBe("open");
  });
});

describe("whatever happens", () => {
  it("never admits more trials than permits in a round, never gets stuck, and lets no late result count", () => {
    const action = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("call" as const) }) },
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant("settle" as const),
          which: fc.nat(20),
          how: fc.constantFrom("succeed" as const, "fail" as const, "ignore" as const),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(3_000) }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), (actions, halfOpenPermits) => {
        const clock = new TestClock();
        const breaker = new CircuitBreaker({
          name: "target",
          mode: "enforce",
          halfOpenPermits,
          openMs: 500,
          maxOpenMs: 4_000,
          leaseMs: 1_000,
          consecutiveFailures: 3,
          clock,
          random: seededRandom(1),
        });
        let round = 0;
        let ignored = 0;
        breaker.onTransition(({ to }) => {
          if (to === "half-open") {
            round = 0;
            ignored = 0;
          }
        });
        const permits: { permit: Permit; trial: boolean }[] = [];
        for (const step of actions) {
          if (step.kind === "wait") {
            clock.advance(step.ms);
          } else if (step.kind === "call") {
            const permit = breaker.tryAcquire();
            if (!permit.admitted) continue;
            const trial = breaker.state === "half-open";
            if (trial) expect(++round - ignored).toBeLessThanOrEqual(halfOpenPermits);
            permits.push({ permit, trial });
          } else if (permits.length > 0) {
            const [{ permit, trial }] = permits.splice(step.which % permits.length, 1) as [(typeof permits)[0]];
            if (trial && step.how === "ignore") ignored++;
            permit[step.how]();
          }
        }
        // Whatever it was brought into: good calls close it again within the time of the longest open and one lease.
        for (let tries = 0; breaker.state !== "closed" && tries < 20; tries++) {
          clock.advance(4_000);
          const permit = breaker.tryAcquire();
          if (permit.admitted) permit.succeed();
        }
        expect(breaker.state).toBe("closed");
      }),
    );
  });
});
