import { once } from "node:events";
import type { Logger } from "@holdfast/core";
import { TestClock } from "@holdfast/testkit";
import Opossum from "opossum";
import { describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "./memory-store.ts";
import { type ShareCircuitOptions, type SharedCircuit, shareCircuit } from "./opossum.ts";
import type { BreakerStore } from "./store.ts";
import { InstanceLink } from "./testing/instance-link.ts";

type Call = (outcome?: unknown) => unknown;

/** What a call does unless told otherwise: an Error is thrown, anything else returned. */
const answer: Call = (outcome) => (outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome));
const bad = new Error("bad");

interface Shared {
  breaker: Opossum<[unknown?], unknown>;
  circuit: SharedCircuit;
  /** Names of the events that the breaker emitted, in order. */
  events: string[];
  clock: TestClock;
}

function share(
  options: ShareCircuitOptions & { opossum?: Opossum.Options; action?: Call; clock?: TestClock } = {},
): Shared {
  const { opossum, action = answer, clock = new TestClock(), ...rest } = options;
  const breaker = new Opossum(action as (outcome?: unknown) => Promise<unknown>, {
    name: "ledger",
    timeout: false,
    resetTimeout: 1_000,
    volumeThreshold: 4,
    ...opossum,
  });
  const events: string[] = [];
  for (const event of ["open", "halfOpen", "close", "reject", "success", "failure", "timeout", "fallback"] as const) {
    breaker.on(event as "open", () => void events.push(event));
  }
  const circuit = shareCircuit(breaker, { clock, ...rest });
  onTestFinished(async () => {
    await circuit.close();
    breaker.shutdown();
  });
  return { breaker, circuit, events, clock };
}

async function fire(breaker: Shared["breaker"], outcome: unknown, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) await breaker.fire(outcome).catch(() => {});
}

async function pair(options: Parameters<typeof share>[0] = {}): Promise<[Shared, Shared]> {
  const clock = new TestClock();
  const store = memoryStore({ clock });
  const join = (domain: string): Shared =>
    share({ ...options, clock, store: new InstanceLink(store), identity: { domain, instance: domain } });
  const both: [Shared, Shared] = [join("one"), join("two")];
  await clock.advanceAsync(500);
  return both;
}

describe("an opossum breaker whose circuit is shared", () => {
  it("opens where no call of its own failed, when the fleet does, and closes with it", async () => {
    const [one, two] = await pair();
    await fire(one.breaker, bad, 4);
    await one.clock.advanceAsync(10);
    expect([one.breaker.opened, two.breaker.opened]).toEqual([true, true]);
    expect(two.events).toEqual(["open"]);

    await fire(two.breaker, "fine");
    expect(two.events).toEqual(["open", "reject"]);
    expect(two.breaker.stats.rejects).toBe(1);

    await one.clock.advanceAsync(1_100);
    await fire(two.breaker, "fine");
    await one.clock.advanceAsync(200);
    expect([one.breaker.halfOpen, one.breaker.opened]).toEqual([true, false]);
    for (let passed = 0; passed < 2_000 && !two.breaker.closed; passed += 50) {
      await fire(one.breaker, "fine");
      await fire(two.breaker, "fine");
      await one.clock.advanceAsync(50);
    }
    expect([one.breaker.closed, two.breaker.closed]).toEqual([true, true]);
    const states = (events: string[]): string[] => events.filter((event) => /open|close/i.test(event));
    expect(states(one.events)).toEqual(["open", "halfOpen", "close"]);
    expect(states(two.events)).toEqual(["open", "halfOpen", "close"]);
  });

  it("takes its thresholds from the opossum breaker, and keeps its own statistics from tripping it", async () => {
    const { breaker, circuit } = share({
      opossum: { errorThresholdPercentage: 80, rollingCountTimeout: 5_000, resetTimeout: 700, volumeThreshold: 10 },
    });
    expect(circuit.snapshot().settings).toMatchObject({
      mode: "enforce",
      failureRateThreshold: 0.8,
      windowMs: 5_000,
      openMs: 700,
      minimumCalls: 10,
      consecutiveFailures: 0,
    });
    await fire(breaker, bad, 9);
    expect(breaker.closed).toBe(true);
    await fire(breaker, bad);
    expect(breaker.opened).toBe(true);
  });

  it("tells listeners of the failure first and of the opening after it", async () => {
    const { breaker, events } = share();
    await fire(breaker, bad, 4);
    expect(events).toEqual(["failure", "failure", "failure", "failure", "open"]);
  });

  it("answers with the fallback while open", async () => {
    const { breaker, events } = share();
    breaker.fallback(() => "instead");
    await fire(breaker, bad, 4);
    expect(await breaker.fire("fine")).toBe("instead");
    expect(events.slice(-2)).toEqual(["reject", "fallback"]);
  });

  it("serves its cache while open, and takes no trial for it", async () => {
    const { breaker, circuit, clock } = share({
      opossum: { cache: true, cacheGetKey: (outcome) => String(outcome) },
    });
    await fire(breaker, "kept");
    await fire(breaker, bad, 4);
    expect(breaker.opened).toBe(true);
    expect(await breaker.fire("kept")).toBe("kept");
    clock.advance(1_000);
    for (let time = 0; time < 10; time++) expect(await breaker.fire("kept")).toBe("kept");
    await fire(breaker, "fine");
    await fire(breaker, "too");
    expect(circuit.state).toBe("closed");
  });

  it("counts what errorFilter lets pass as success", async () => {
    const { breaker, circuit } = share({ opossum: { errorFilter: (error: Error) => error.message === "404" } });
    await fire(breaker, new Error("404"), 10);
    expect(circuit.snapshot().window).toMatchObject({ successes: 10, failures: 0 });
  });

  it("counts a time-out once, as a failure, and not what comes after it", async () => {
    const late = Promise.withResolvers<string>();
    const { breaker, circuit, events } = share({ opossum: { timeout: 5 }, action: () => late.promise });
    await fire(breaker, undefined);
    late.resolve("late");
    await late.promise;
    expect(events).toEqual(["timeout", "failure"]);
    expect(circuit.snapshot().counts).toMatchObject({ failures: 1, successes: 0 });
  });

  it("calls the action with the context and the arguments that were given", async () => {
    const seen: unknown[] = [];
    const { breaker } = share({
      action: function (this: unknown, ...args: unknown[]) {
        seen.push(this, ...args);
        return Promise.resolve();
      },
    });
    const context = { my: "context" };
    await breaker.call(context, "argument");
    expect(seen).toEqual([context, "argument"]);
  });

  it("is given back as it was", async () => {
    const { breaker, circuit } = share();
    const names = ["call", "action", "pendingClose", "halfOpen", "opened", "volumeThreshold"];
    await fire(breaker, bad, 4);
    await circuit.close();
    expect(breaker.closed).toBe(true);
    expect(breaker.volumeThreshold).toBe(4);
    expect(names.filter((name) => Object.hasOwn(breaker, name))).toEqual(["action"]);
    await fire(breaker, bad, 4);
    expect(breaker.opened).toBe(true);
  });

  it("lets go of the fleet when it is shut down", async () => {
    const [one, two] = await pair();
    one.breaker.shutdown();
    await expect(one.breaker.fire("fine")).rejects.toMatchObject({ code: "ESHUTDOWN" });
    await fire(two.breaker, bad, 4);
    await two.clock.advanceAsync(100);
    expect(one.circuit.sharing).toBe(false);
    expect(two.breaker.opened).toBe(true);
  });

  it("runs unprotected while it is disabled, as opossum says", async () => {
    const { breaker, circuit } = share();
    await fire(breaker, bad, 4);
    breaker.disable();
    expect(await breaker.fire("fine")).toBe("fine");
    expect(circuit.snapshot().counts.rejections).toBe(0);
    breaker.enable();
    await expect(breaker.fire("fine")).rejects.toMatchObject({ code: "EOPENBREAKER" });
  });

  it("rejects what the fleet rejects, also after somebody closed it by hand", async () => {
    const { breaker } = share();
    await fire(breaker, bad, 4);
    breaker.close();
    await expect(breaker.fire("fine")).rejects.toMatchObject({ code: "EOPENBREAKER" });
  });

  it("opened by hand, opens here, and recovers by opossum's own rules", async () => {
    const { breaker, circuit } = share({ opossum: { resetTimeout: 5 } });
    breaker.open();
    await expect(breaker.fire("fine")).rejects.toMatchObject({ code: "EOPENBREAKER" });
    expect(circuit.state).toBe("closed");
    await once(breaker, "halfOpen");
    await fire(breaker, "fine");
    expect(breaker.closed).toBe(true);
  });

  it("is left to itself in observe mode, and follows the mode when it changes", async () => {
    const { breaker, circuit, clock } = share({ mode: "observe", opossum: { volumeThreshold: 1_000 } });
    circuit.reconfigure({ minimumCalls: 4 });
    await fire(breaker, bad, 4);
    expect([circuit.state, breaker.closed]).toEqual(["open", true]);
    expect(await breaker.fire("fine")).toBe("fine");
    circuit.reconfigure({ mode: "enforce" });
    await expect(breaker.fire("fine")).rejects.toMatchObject({ code: "EOPENBREAKER" });
    circuit.reconfigure({ mode: "observe" });
    expect(await breaker.fire("fine")).toBe("fine");
    clock.advance(1_000);
    expect(breaker.closed).toBe(true);
  });

  it("works, shared with nobody, when no store is named, and says so", async () => {
    const lines: string[] = [];
    const logger: Logger = { debug() {}, info() {}, error() {}, warn: (_fields, line) => void lines.push(line) };
    const { breaker, circuit } = share({ logger, redis: undefined });
    expect(lines).toEqual([expect.stringContaining("shared with nobody")]);
    await fire(breaker, bad, 4);
    expect(breaker.opened).toBe(true);
    expect(circuit.sharing).toBe(false);
  });

  it("does not need its store to be there", async () => {
    const away: BreakerStore = Object.assign(new InstanceLink(memoryStore()), { down: true });
    const { breaker } = share({ store: away });
    await fire(breaker, bad, 4);
    expect(breaker.opened).toBe(true);
  });
});

describe("defects of opossum that a shared circuit does not have", () => {
  it("a late success from before the trip closes a half-open breaker; a late failure re-opens it", async () => {
    const late = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const { breaker, clock, circuit } = share({
      action: (outcome) => (typeof outcome === "number" ? late[outcome]!.promise : answer(outcome)),
    });
    const calls = [breaker.fire(0), breaker.fire(1)];
    await fire(breaker, bad, 4);
    clock.advance(1_000);
    const trial = breaker.fire("fine");
    expect(circuit.state).toBe("half-open");
    late[0].resolve();
    late[1].reject(bad);
    await Promise.allSettled(calls);
    await trial;
    expect(circuit.state).toBe("half-open");
    expect(breaker.closed).toBe(false);
  });

  it("no timeout and a hung probe is half-open for ever", async () => {
    const { breaker, clock, circuit } = share({
      action: (outcome) => (outcome === "hang" ? new Promise(() => {}) : answer(outcome)),
      leaseMs: 1_000,
    });
    await fire(breaker, bad, 4);
    clock.advance(1_000);
    for (let probe = 0; probe < 3; probe++) void breaker.fire("hang");
    clock.advance(1_000);
    await fire(breaker, "fine");
    expect(circuit.state).toBe("open");
    clock.advance(2_000);
    await fire(breaker, "fine", 2);
    expect(breaker.closed).toBe(true);
  });

  it("the window is not cleared on close: one failure re-opens despite the volume threshold", async () => {
    const { breaker, clock } = share();
    await fire(breaker, bad, 4);
    clock.advance(1_000);
    await fire(breaker, "fine", 2);
    expect(breaker.closed).toBe(true);
    await fire(breaker, bad);
    expect(breaker.closed).toBe(true);
  });

  it("bulkhead rejections count as failures and trip the breaker", async () => {
    const held = Promise.withResolvers<void>();
    const { breaker, circuit } = share({ opossum: { capacity: 1 }, action: () => held.promise });
    const first = breaker.fire();
    await fire(breaker, undefined, 20);
    expect(breaker.closed).toBe(true);
    expect(breaker.stats.semaphoreRejections).toBe(20);
    expect(circuit.snapshot().window).toMatchObject({ failures: 0 });
    held.resolve();
    await first;
  });

  it("calls in flight dilute the rate", async () => {
    const held = Promise.withResolvers<void>();
    const { breaker } = share({ action: (outcome) => (outcome === "hold" ? held.promise : answer(outcome)) });
    const inFlight = Array.from({ length: 60 }, () => breaker.fire("hold"));
    await fire(breaker, bad, 4);
    expect(breaker.opened).toBe(true);
    held.resolve();
    await Promise.all(inFlight);
  });

  it("a call that outlives the window makes the rate infinite", async () => {
    const held = Promise.withResolvers<void>();
    const { breaker, clock } = share({ action: () => held.promise });
    const call = breaker.fire().catch(() => {});
    clock.advance(60_000);
    held.reject(bad);
    await call;
    expect(breaker.closed).toBe(true);
  });

  it("a sync action that returns undefined counts as failure", async () => {
    const { breaker, circuit } = share({ action: () => undefined });
    expect(await breaker.fire()).toBeUndefined();
    expect(circuit.snapshot().window).toMatchObject({ successes: 1, failures: 0 });
  });

  it("a throwing 'success' listener turns success to failure", async () => {
    const { breaker, circuit } = share();
    breaker.on("success", () => {
      throw new Error("listener");
    });
    await fire(breaker, "fine", 10);
    expect(circuit.snapshot().counts).toMatchObject({ successes: 10, failures: 0 });
    expect(breaker.closed).toBe(true);
  });

  it("a reset time of 2^31 ms or more half-opens at once", async () => {
    const { breaker, circuit, clock } = share({ opossum: { resetTimeout: 2 ** 31 } });
    await fire(breaker, bad, 4);
    clock.advance(60_000);
    await fire(breaker, "fine");
    expect(circuit.state).toBe("open");
  });
});
