import { type LogFields, type Logger, type StorySpan, silentLogger } from "@holdfast/core";
import { memoryOverrideStore, type Override, type OverrideStore, parsePolicy } from "@holdfast/policy";
import { TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Component } from "../component.ts";
import { Observer } from "../observe/observer.ts";
import { openDatabase } from "../store/database.ts";
import { DecisionStore } from "../store/decision-store.ts";
import { testPolicy } from "../testing/test-controller.ts";
import { type FleetBehaviour, TestFleet } from "../testing/test-fleet.ts";
import type { Decision } from "./decision.ts";
import { DecisionLoop } from "./decision-loop.ts";
import type { DecisionSettings } from "./settings.ts";

const threshold = "breaker.failureRateThreshold";

const settings: DecisionSettings = {
  windowMs: 10_000,
  intervalMs: 1_000,
  cooldownMs: 22_000,
  overrideTtlMs: 600_000,
  maxConnections: 100,
  reservedConnections: 3,
  shadowOnly: false,
};

const payments: FleetBehaviour = {
  service: "payments",
  target: "ledger",
  instances: ["p-1", "p-2", "p-3", "p-4"],
  following: ["p-1", "p-2", "p-3", "p-4"],
  callsPerSecond: 60,
  failuresPerHundred: 1,
  latencyMs: 20,
  breaker: 0,
};

interface WorldOptions {
  fleet?: Partial<FleetBehaviour> | undefined;
  settings?: Partial<DecisionSettings> | undefined;
  policy?: string | undefined;
  store?: OverrideStore | undefined;
  clock?: TestClock | undefined;
}

/** A controller's loop, a fleet that it sees through OTLP only, and a clock that both live by. */
class World {
  readonly clock: TestClock;
  readonly store: OverrideStore;
  readonly observer: Observer;
  readonly fleet: TestFleet;
  readonly audit: DecisionStore<Decision> = new DecisionStore<Decision>(openDatabase(":memory:"), 1_000);
  readonly spans: StorySpan[] = [];
  readonly lines: (LogFields & { msg: string })[] = [];
  readonly component = new Component("decisions");
  readonly loop: DecisionLoop;

  constructor(options: WorldOptions = {}) {
    this.clock = options.clock ?? new TestClock();
    this.store = options.store ?? memoryOverrideStore();
    this.observer = new Observer({ clock: this.clock, windowMs: settings.windowMs });
    this.fleet = new TestFleet({ ...payments, ...options.fleet }, this.observer, this.store, this.clock);
    const logger: Logger = { ...silentLogger, info: (fields, msg) => void this.lines.push({ ...fields, msg }) };
    this.loop = new DecisionLoop({
      policy: parsePolicy(options.policy ?? testPolicy),
      settings: { ...settings, ...options.settings },
      observer: this.observer,
      store: this.store,
      audit: this.audit,
      sink: { exportSpans: async (spans) => void this.spans.push(...spans) },
      component: this.component,
      author: "test",
      clock: this.clock,
      logger,
    });
  }

  /** Lets the fleet live and the loop look, second by second. */
  async seconds(count: number, each: () => void = () => {}): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.clock.advance(1_000);
      await this.fleet.second();
      await this.loop.tick();
      each();
    }
  }

  /** Goes on until something is so. */
  async until(isSo: () => boolean, atMost = 600): Promise<void> {
    for (let i = 0; i < atMost && !isSo(); i++) await this.seconds(1);
    expect(isSo()).toBe(true);
  }

  get decisions(): Decision[] {
    return this.audit.list(1_000).toReversed();
  }

  async stored(): Promise<Override | undefined> {
    const { service, target } = this.fleet.behaviour;
    return (await this.store.read({ namespace: "test", service, target })).controller;
  }

  hold(knob: string): string | undefined {
    return this.loop.view(this.fleet.behaviour.service, this.fleet.behaviour.target)?.holds[knob];
  }
}

describe("tuning a breaker's threshold", () => {
  it("goes in steps from the file's value to the law's, each confirmed and judged before the next", async () => {
    const world = new World();
    await world.until(() => world.decisions.length === 2 && world.decisions[1]!.state === "judged");
    const [first, second] = world.decisions;
    expect(first).toMatchObject({ old: 0.5, new: 0.35, binding: "max-step", verdict: "unchanged", mode: "apply" });
    expect(second).toMatchObject({ old: 0.35, new: 0.2, binding: "law-minimum", verdict: "unchanged" });
    expect(second!.atMs - first!.confirmed!.atMs).toBeGreaterThanOrEqual(settings.cooldownMs);
    expect(world.fleet.running("p-1")).toEqual({ [threshold]: 0.2 });
    await world.seconds(60);
    expect(world.decisions.length).toBe(2);
    expect(world.hold(threshold)).toBe("within tolerance");
  });

  it("leaves its evidence in the audit, in one trace, and in the log", async () => {
    const world = new World();
    await world.until(() => world.decisions[0]?.state === "judged");
    const [decision] = world.decisions;
    expect(decision).toMatchObject({
      service: "payments",
      target: "ledger",
      law: "breaker-threshold",
      windowMs: 10_000,
    });
    expect(decision!.n).toBeGreaterThan(100);
    expect(Math.abs(decision!.signals.baseline! - 0.01)).toBeLessThan(0.01);
    const [made, confirmed, judged] = world.spans;
    expect(made).toMatchObject({ name: "holdfast.decision", ...decision!.span });
    expect(made!.attributes).toMatchObject({
      "holdfast.decision.id": decision!.id,
      "holdfast.decision.knob": threshold,
      "holdfast.decision.old": 0.5,
      "holdfast.decision.new": 0.35,
      "holdfast.decision.law": "breaker-threshold",
      "holdfast.decision.binding": "max-step",
      "holdfast.decision.mode": "apply",
      "holdfast.decision.verdict": "pending",
    });
    expect(made!.attributes!["holdfast.decision.signal.baseline"]).toBeDefined();
    expect(made!.links!.length).toBeGreaterThan(0);
    expect(confirmed).toMatchObject({ name: "holdfast.decision.confirmed", parentSpanId: made!.spanId });
    expect(judged).toMatchObject({ name: "holdfast.decision.verdict", traceId: made!.traceId });
    expect(judged!.attributes!["holdfast.decision.verdict"]).toBe("unchanged");
    const messages = world.lines.filter(({ decisionId }) => decisionId === decision!.id).map(({ msg }) => msg);
    expect(messages).toEqual(["decision", "decision confirmed", "decision judged"]);
    expect(world.lines.find(({ msg }) => msg === "decision confirmed")).toMatchObject({ instances: 4, live: 4 });
  });

  it("decides nothing more until four of five live instances run what was decided", async () => {
    const world = new World({ fleet: { following: ["p-1", "p-2", "p-3"] } });
    await world.until(() => world.decisions.length === 1);
    await world.seconds(120);
    expect(world.decisions).toMatchObject([{ state: "written" }]);
    world.fleet.behaviour.following = ["p-1", "p-2", "p-3", "p-4"];
    await world.seconds(2);
    expect(world.decisions[0]).toMatchObject({ state: "confirmed", confirmed: { instances: 4, live: 4 } });
  });

  it("does not count instances that are gone", async () => {
    const world = new World({ fleet: { following: ["p-1", "p-2", "p-3"] } });
    await world.until(() => world.decisions.length === 1);
    world.fleet.behaviour.instances = ["p-1", "p-2", "p-3"];
    await world.until(() => world.decisions[0]!.state === "confirmed", 15);
    expect(world.decisions[0]!.confirmed).toMatchObject({ instances: 3, live: 3 });
  });

  it("does nothing in an incident, learns nothing from it, and never loosens because of it", async () => {
    const world = new World({ policy: testPolicy.replace("failureRateThreshold: 50%", "failureRateThreshold: 20%") });
    await world.seconds(60);
    expect(world.decisions).toEqual([]);
    const baseline = world.loop.view("payments", "ledger")!.baseline!;
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 80, breaker: 2 });
    await world.seconds(120, () => expect(world.decisions).toEqual([]));
    expect(world.hold(threshold)).toBe("the breaker is open");
    expect(world.loop.view("payments", "ledger")!.baseline).toBeCloseTo(baseline, 3);
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 1, breaker: 0 });
    await world.seconds(60);
    expect(world.decisions).toEqual([]);
    expect(world.loop.view("payments", "ledger")!.baseline).toBeCloseTo(baseline, 3);
  });

  it("notices an incident by failures alone where the breaker only observes", async () => {
    const world = new World({ policy: testPolicy.replace("failureRateThreshold: 50%", "failureRateThreshold: 20%") });
    await world.seconds(40);
    world.fleet.behaviour.failuresPerHundred = 60;
    await world.seconds(20);
    expect(world.loop.view("payments", "ledger")!.anomaly).toBe("failures stand out from the baseline");
  });

  it("loosens where calls usually fail more, but only after a cooldown of calm", async () => {
    const policy = testPolicy.replace("failureRateThreshold: 50%", "failureRateThreshold: 25%");
    const world = new World({ policy, fleet: { failuresPerHundred: 18, callsPerSecond: 200 } });
    let calmFor = 0;
    await world.until(() => {
      const calm = world.loop.view("payments", "ledger")?.anomaly === null;
      calmFor = calm ? calmFor + 1 : 0;
      return world.decisions.length === 1;
    });
    expect(world.decisions[0]).toMatchObject({ old: 0.25 });
    expect(world.decisions[0]!.new).toBeGreaterThan(0.25);
    expect(calmFor).toBeGreaterThanOrEqual(20);
  });

  it("takes a tightening back that made the breaker open where it would not have before", async () => {
    const world = new World();
    await world.until(() => world.decisions[0]?.state === "confirmed");
    // 40 % of failures: above the new threshold of 35 %, below the old of 50 %.
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 40, breaker: 2 });
    await world.until(() => world.decisions.length === 2);
    const [first, second] = world.decisions;
    expect(first).toMatchObject({ state: "judged", verdict: "worse" });
    expect(second).toMatchObject({ law: "rollback", old: 0.35, new: 0.5, rollsBack: first!.id });
    expect((await world.stored())!.values).toEqual({ [threshold]: 0.5 });
    expect(world.spans.find(({ spanId }) => spanId === second!.span.spanId)!.links).toMatchObject([first!.span]);
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 1, breaker: 0 });
    await world.seconds(100);
    expect(world.decisions.length).toBe(2);
    expect(world.hold(threshold)).toBe("left alone after it had to be put back");
  });

  it("waits with its verdict while an incident is on that the change has no part in", async () => {
    const world = new World();
    await world.until(() => world.decisions[0]?.state === "confirmed");
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 90, breaker: 2 });
    await world.seconds(60);
    expect(world.decisions).toMatchObject([{ state: "confirmed" }]);
    Object.assign(world.fleet.behaviour, { failuresPerHundred: 1, breaker: 0 });
    await world.until(() => world.decisions[0]!.state === "judged", 40);
    expect(world.decisions[0]!.verdict).toBe("improved");
  });
});

describe("who has the last word", () => {
  it("is the policy: in shadow mode everything is told, once, and nothing is written", async () => {
    const world = new World({ fleet: { target: "watched" } });
    await world.seconds(120);
    expect(world.decisions).toMatchObject([{ mode: "shadow", state: "shadow", verdict: "none", old: 0.5, new: 0.35 }]);
    expect(world.spans.length).toBe(1);
    expect(await world.stored()).toBeUndefined();
  });

  it("is --shadow, over a policy that would apply", async () => {
    const world = new World({ settings: { shadowOnly: true } });
    await world.seconds(60);
    expect(world.decisions).toMatchObject([{ mode: "shadow" }]);
    expect(await world.stored()).toBeUndefined();
  });

  it("is whoever switches tuning off: what was written is withdrawn at once", async () => {
    const store = memoryOverrideStore();
    const clock = new TestClock();
    const before = new World({ store, clock });
    await before.until(() => before.decisions[0]?.state === "confirmed");
    const off = testPolicy.replace("mode: apply", "mode: off");
    const after = new World({ store, clock, policy: off });
    await after.seconds(2);
    expect(await after.stored()).toMatchObject({ deleted: true, values: {}, reason: "tuning is set to off" });
    expect(after.decisions).toEqual([]);
  });

  it("is the operator: a knob that somebody has set is left alone", async () => {
    const world = new World();
    await world.store.write(
      "operator",
      { namespace: "test", service: "payments", target: "ledger" },
      {
        epoch: 1,
        version: 1,
        values: { [threshold]: 0.6 },
        expiresAtMs: world.clock.now() + 1e9,
        author: "somebody",
        reason: "tonight's migration",
        decisionId: "o-1",
      },
    );
    await world.seconds(60);
    expect(world.decisions).toEqual([]);
    expect(world.hold(threshold)).toBe("an operator has set it");
  });

  it("is the controller that started last: the one before stops writing, and says so", async () => {
    const store = memoryOverrideStore();
    const clock = new TestClock();
    const first = new World({ store, clock });
    await first.until(() => first.decisions[0]?.state === "confirmed");
    const { epoch } = (await first.stored())!;
    clock.advance(5_000);
    const second = new World({ store, clock });
    await second.until(() => second.decisions.length === 1);
    expect((await second.stored())!.epoch).toBeGreaterThan(epoch);
    expect(second.decisions[0]!.old).toBe(0.35);
    await first.loop.tick();
    expect(first.component.status).toBe("permanent-error");
    expect(first.component.error).toMatch(/another controller writes payments\/ledger/);
  });

  it("is the expiry, unless the controller renews what still holds", async () => {
    const world = new World({ settings: { overrideTtlMs: 100_000 } });
    await world.until(() => world.decisions.length === 2 && world.decisions[1]!.state === "judged");
    const { version, decisionId } = (await world.stored())!;
    await world.seconds(120);
    const renewed = (await world.stored())!;
    expect(renewed).toMatchObject({ decisionId, values: { [threshold]: 0.2 } });
    expect(renewed.version).toBeGreaterThan(version);
    expect(renewed.expiresAtMs).toBeGreaterThan(world.clock.now());
    expect(world.decisions.length).toBe(2);
  });
});

describe("a store that is away", () => {
  it("costs no decision and no row of the audit: the look is repeated when it is back", async () => {
    const store = memoryOverrideStore();
    let away = false;
    const flaky: OverrideStore = {
      ...store,
      read: async (id) => {
        if (away) throw new Error("away");
        return store.read(id);
      },
      write: (layer, id, override) => store.write(layer, id, override),
      watch: (ids, listener) => store.watch(ids, listener),
      close: () => store.close(),
      [Symbol.asyncDispose]: () => store.close(),
    };
    const world = new World({ store: flaky });
    await world.seconds(5);
    away = true;
    for (let i = 0; i < 40; i++) {
      world.clock.advance(1_000);
      await world.loop.tick();
    }
    expect(world.component.status).toBe("recoverable-error");
    expect(world.decisions).toEqual([]);
    away = false;
    await world.until(() => world.decisions.length === 1);
    expect(world.component.status).toBe("ok");
  });

  it("that gave no answer to a write is asked what became of it", async () => {
    const store = memoryOverrideStore();
    let losesAnswer = true;
    const flaky: OverrideStore = {
      read: (id) => store.read(id),
      write: async (layer, id, override) => {
        const result = await store.write(layer, id, override);
        if (losesAnswer) throw new Error("no answer in time");
        return result;
      },
      watch: (ids, listener) => store.watch(ids, listener),
      close: () => store.close(),
      [Symbol.asyncDispose]: () => store.close(),
    };
    const world = new World({ store: flaky });
    await world.until(() => world.decisions.length === 1);
    expect(world.decisions[0]!.state).toBe("writing");
    losesAnswer = false;
    await world.seconds(3);
    expect(world.decisions).toMatchObject([{ state: "confirmed", version: 1 }]);
  });
});

describe("tuning a pool", () => {
  const ledger: Partial<FleetBehaviour> = {
    service: "ledger",
    target: "database",
    instances: ["l-1", "l-2"],
    following: ["l-1", "l-2"],
    callsPerSecond: 0,
    pool: { size: 4, callsPerSecond: 160, waitMs: 60, useMs: 40 },
  };

  it("grows it while callers wait and growing helps, and stops when they do not", async () => {
    const world = new World({ fleet: ledger });
    await world.until(() => world.decisions.length === 1);
    expect(world.decisions[0]).toMatchObject({
      knob: "pool.size",
      old: 4,
      new: 5,
      binding: "demand",
      law: "pool-size",
    });
    world.fleet.behaviour.pool = { size: 4, callsPerSecond: 200, waitMs: 15, useMs: 40 };
    await world.until(() => world.decisions[0]!.state === "judged");
    expect(world.decisions[0]!.verdict).toBe("improved");
    await world.seconds(60);
    expect(world.decisions.length).toBe(1);
    expect(world.fleet.running("l-2")).toEqual({ "pool.size": 5 });
  });

  it("puts it back when a larger one only made the database slower, and leaves it alone then", async () => {
    const world = new World({ fleet: ledger });
    await world.until(() => world.decisions.length === 1);
    world.fleet.behaviour.pool = { size: 4, callsPerSecond: 150, waitMs: 70, useMs: 90 };
    await world.until(() => world.decisions.length === 2);
    expect(world.decisions[0]!.verdict).toBe("worse");
    expect(world.decisions[1]).toMatchObject({ law: "rollback", old: 5, new: 4 });
    await world.seconds(100);
    expect(world.decisions.length).toBe(2);
  });

  it("never lets all pools together pass 0.8 x (max_connections - reserved)", async () => {
    // 0.8 x (16 - 3) = 10.4: five for each of two instances.
    const world = new World({ fleet: ledger, settings: { maxConnections: 16 } });
    world.fleet.behaviour.pool = { size: 4, callsPerSecond: 160, waitMs: 500, useMs: 200 };
    await world.until(() => world.decisions.length === 1);
    expect(world.decisions[0]).toMatchObject({ new: 5, binding: "connection-guard" });
    world.fleet.behaviour.pool = { size: 4, callsPerSecond: 190, waitMs: 400, useMs: 200 };
    await world.until(() => world.decisions[0]!.state === "judged");
    await world.seconds(60);
    expect(world.decisions.length).toBe(1);
    expect(world.hold("pool.size")).toBe("the database allows no more connections");
  });

  it("takes connections away when instances join that the database has no room for", async () => {
    const world = new World({ fleet: ledger, settings: { maxConnections: 33 } });
    world.fleet.behaviour.pool = { size: 4, callsPerSecond: 100, waitMs: 10, useMs: 40 };
    await world.seconds(30);
    expect(world.decisions).toEqual([]);
    const many = ["l-1", "l-2", "l-3", "l-4", "l-5", "l-6", "l-7", "l-8"];
    Object.assign(world.fleet.behaviour, { instances: many, following: many });
    await world.seconds(4);
    // 0.8 x (33 - 3) = 24 for eight.
    expect(world.decisions).toMatchObject([{ old: 4, new: 3, binding: "connection-guard" }]);
  });

  it("does not grow one whose database nobody described", async () => {
    const world = new World({ fleet: ledger, settings: { maxConnections: undefined } });
    await world.seconds(60);
    expect(world.decisions).toEqual([]);
    expect(world.hold("pool.size")).toMatch(/--max-connections/);
  });

  it("shrinks one that is too large, to the peak of the last five windows", async () => {
    const world = new World({ fleet: ledger });
    world.fleet.behaviour.pool = { size: 12, callsPerSecond: 160, waitMs: 0, useMs: 20 };
    await world.seconds(45);
    expect(world.decisions).toEqual([]);
    await world.until(() => world.decisions.length === 1);
    expect(world.decisions[0]).toMatchObject({ old: 4, knob: "pool.size" });
  });
});
