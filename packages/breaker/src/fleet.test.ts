import type { Logger } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { hosts, startFleet } from "./testing/fleet.ts";

const never = (): boolean => false;
const always = (): boolean => true;

describe("a fleet whose target fails", () => {
  it("opens everywhere, in one generation", async () => {
    const { instances, states, traffic } = await startFleet(hosts(6));
    await traffic(200, always);
    await traffic(400, never);
    expect(states()).toEqual(Array(6).fill("open"));
    expect(instances.map(({ breaker }) => breaker.snapshot().generation)).toEqual(Array(6).fill(2));
  });

  it("opens also where no call has failed yet, and says who decided and when", async () => {
    const { instances, states, clock } = await startFleet(hosts(3));
    for (const instance of instances.slice(0, 2)) instance.calls(5, false);
    await clock.advanceAsync(10);
    expect(states()).toEqual(["open", "open", "open"]);
    const [transition] = instances[2]!.transitions;
    expect(transition).toMatchObject({ from: "closed", to: "open", origin: "fleet", generation: 2, by: "host-1/0" });
    expect(transition!.decidedAtMs).toBeLessThanOrEqual(clock.now());
  });

  it("ignores late results from before the trip", async () => {
    const { instances, states, clock } = await startFleet(hosts(3));
    const late = instances[2]!.breaker.tryAcquire();
    for (const instance of instances.slice(0, 2)) instance.calls(5, false);
    await clock.advanceAsync(1_500);
    for (const instance of instances) instance.call(true);
    await clock.advanceAsync(20);
    expect(states()).toContain("half-open");
    if (late.admitted) late.fail();
    await clock.advanceAsync(500);
    expect(states()).not.toContain("open");
  });

  it("leaves one bad host of ten to itself, also when it runs four processes", async () => {
    const { instances, traffic } = await startFleet([...hosts(10), "host-1", "host-1", "host-1"]);
    await traffic(5_000, ({ domain }) => domain !== "host-1");
    for (const { domain, breaker, transitions } of instances) {
      if (domain === "host-1") expect(["open", "half-open"]).toContain(breaker.state);
      else expect(transitions).toEqual([]);
    }
  });

  it("with one active host, is that host alone", async () => {
    const { instances, states, clock } = await startFleet(hosts(2));
    instances[0]!.calls(5, false);
    await clock.advanceAsync(10);
    expect(states()).toEqual(["open", "open"]);
  });

  it("with two active hosts, takes both", async () => {
    const { instances, states, clock } = await startFleet(hosts(2));
    instances[1]!.calls(3, true);
    await clock.advanceAsync(150);
    instances[0]!.calls(5, false);
    await clock.advanceAsync(150);
    expect(states()).toEqual(["open", "closed"]);
    instances[1]!.calls(5, false);
    await clock.advanceAsync(10);
    expect(instances.map(({ breaker }) => breaker.snapshot().generation)).toEqual([2, 2]);
  });
});

describe("a fleet that recovers", () => {
  it("makes no more trial calls than one round's permits, and closes everywhere", async () => {
    const { states, traffic } = await startFleet(hosts(6), { halfOpenPermits: 3, openMs: 1_000 });
    await traffic(300, never);
    expect(states()).toEqual(Array(6).fill("open"));
    const trialsWhileDown = await traffic(1_600, never);
    expect(trialsWhileDown).toBeGreaterThan(0);
    expect(trialsWhileDown).toBeLessThanOrEqual(2 * 3);
    await traffic(4_500, always);
    expect(states()).toEqual(Array(6).fill("closed"));
  });

  it("stays open for longer the more rounds fail", async () => {
    const { instances, traffic } = await startFleet(hosts(3));
    await traffic(9_000, never);
    const opens = instances[0]!.transitions.filter(({ to }) => to === "open").map(({ atMs }) => atMs);
    expect(opens.length).toBeGreaterThanOrEqual(3);
    const lengths = opens.slice(1).map((atMs, place) => atMs - opens[place]!);
    for (const [place, length] of lengths.slice(1).entries()) expect(length).toBeGreaterThan(1.4 * lengths[place]!);
  });

  it("does so when a call comes only once a minute", async () => {
    const { instances, clock } = await startFleet(["host-1"]);
    instances[0]!.calls(5, false);
    let minutes = 0;
    for (; instances[0]!.breaker.state !== "closed" && minutes < 10; minutes++) {
      await clock.advanceAsync(60_000);
      instances[0]!.call(true);
      await clock.advanceAsync(10);
    }
    expect(instances[0]!.breaker.state).toBe("closed");
    expect(minutes).toBeLessThanOrEqual(3);
  });

  it("gives the leases of an instance that died to the others when their time is up", async () => {
    const { instances, clock, states } = await startFleet(hosts(2), { halfOpenPermits: 1 });
    for (const instance of instances) instance.calls(5, false);
    await clock.advanceAsync(20);
    instances[0]!.call(true);
    await clock.advanceAsync(1_100);
    expect(states()).toEqual(["half-open", "half-open"]);
    await instances[0]!.breaker.close();
    for (let passed = 0; passed < 3_000 && instances[1]!.breaker.state !== "closed"; passed += 100) {
      instances[1]!.call(true);
      await clock.advanceAsync(100);
    }
    expect(instances[1]!.breaker.state).toBe("closed");
  });

  it("takes a trial that hangs for failed before its lease ends", async () => {
    const { instances, clock } = await startFleet(["host-1"], { halfOpenPermits: 1 });
    const [alone] = instances;
    alone!.calls(5, false);
    alone!.call(true);
    await clock.advanceAsync(1_200);
    const hung = alone!.breaker.tryAcquire();
    expect(hung.admitted).toBe(true);
    await clock.advanceAsync(2_000);
    expect(alone!.breaker.snapshot()).toMatchObject({ state: "open", generation: 4 });
    if (hung.admitted) hung.succeed();
    await clock.advanceAsync(200);
    expect(alone!.breaker.state).toBe("open");
  });
});

describe("an instance that loses the store", () => {
  it("goes on breaking by itself, and never waits", async () => {
    const { instances, clock, states } = await startFleet(["host-1"]);
    const [alone] = instances;
    alone!.link.down = true;
    expect(alone!.breaker.sharing).toBe(false);
    alone!.calls(5, false);
    expect(states()).toEqual(["open"]);
    await clock.advanceAsync(1_000);
    alone!.calls(2, true);
    expect(states()).toEqual(["closed"]);
  });

  it("keeps the fleet's open for the time that it has left, and then tries by itself", async () => {
    const { instances, clock } = await startFleet(hosts(3));
    for (const instance of instances) instance.calls(5, false);
    await clock.advanceAsync(100);
    const [cut] = instances;
    cut!.link.down = true;
    await clock.advanceAsync(600);
    expect(cut!.call(true)).toBe(false);
    await clock.advanceAsync(300);
    cut!.calls(2, true);
    expect(cut!.breaker.state).toBe("closed");
  });

  it("takes up the fleet's state again when the store is back", async () => {
    const { instances, clock } = await startFleet(hosts(3));
    const [cut, ...others] = instances;
    cut!.link.down = true;
    await clock.advanceAsync(200);
    for (const instance of others) instance.calls(5, false);
    await clock.advanceAsync(100);
    expect(cut!.breaker.state).toBe("closed");
    cut!.link.down = false;
    await clock.advanceAsync(1_000);
    expect([cut!.breaker.state, cut!.breaker.sharing]).toEqual(["open", true]);
  });

  it("does not hold on to a fleet's open that was closed meanwhile", async () => {
    const { instances, clock, states } = await startFleet(hosts(3));
    for (const instance of instances) instance.calls(5, false);
    await clock.advanceAsync(100);
    const [cut, ...others] = instances;
    cut!.link.down = true;
    for (let passed = 0; passed < 5_000; passed += 100) {
      for (const instance of others) instance.call(true);
      await clock.advanceAsync(100);
    }
    cut!.link.down = false;
    await clock.advanceAsync(1_000);
    expect(states()).toEqual(["closed", "closed", "closed"]);
  });

  it("tells a store that has forgotten everything of the open it still holds", async () => {
    const { instances, records, clock, states } = await startFleet(hosts(3), { openMs: 10_000 });
    for (const instance of instances) instance.calls(5, false);
    await clock.advanceAsync(100);
    records.clear();
    await clock.advanceAsync(3_000);
    expect(states()).toEqual(["open", "open", "open"]);
    expect([...records.values()][0]).toMatchObject({ state: "open", opens: 1 });
    await clock.advanceAsync(10_000);
    instances[0]!.call(true);
    await clock.advanceAsync(200);
    expect(states()).toEqual(Array(3).fill("half-open"));
  });

  it("tells the fleet of a trip that happened meanwhile", async () => {
    const { instances, clock, states, records } = await startFleet(hosts(3), { openMs: 10_000 });
    const [one, two] = instances;
    for (const instance of [one!, two!]) {
      instance.link.down = true;
      instance.calls(5, false);
    }
    records.clear();
    await clock.advanceAsync(2_500);
    expect(states()).toEqual(["open", "open", "closed"]);
    for (const instance of [one!, two!]) instance.link.down = false;
    await clock.advanceAsync(2_000);
    expect(states()).toEqual(["open", "open", "open"]);
  });

  it("hears of a transition whose hint was lost within the time of a poll", async () => {
    const { instances, clock } = await startFleet(hosts(3));
    instances[2]!.link.deaf = true;
    for (const instance of instances.slice(0, 2)) instance.calls(5, false);
    await clock.advanceAsync(100);
    expect(instances[2]!.breaker.state).toBe("closed");
    await clock.advanceAsync(2_400);
    expect(instances[2]!.breaker.state).not.toBe("closed");
  });

  it("decides at once while an exchange hangs", async () => {
    const { instances, clock } = await startFleet(["host-1"]);
    const [alone] = instances;
    alone!.link.held = [];
    alone!.call(true);
    await clock.advanceAsync(5_000);
    expect(alone!.link.held.length).toBe(1);
    alone!.calls(5, false);
    expect(alone!.breaker.state).toBe("open");
  });

  it("keeps to itself when the record was written by a newer version, and says so once", async () => {
    const lines: string[] = [];
    const logger: Logger = { debug() {}, info() {}, error() {}, warn: (_fields, line) => void lines.push(line) };
    const { instances, records, clock, states } = await startFleet(hosts(2), { logger });
    for (const record of records.values()) record.schema = 2;
    await clock.advanceAsync(3_000);
    expect(instances[0]!.breaker.sharing).toBe(false);
    instances[0]!.calls(5, false);
    await clock.advanceAsync(100);
    expect(states()).toEqual(["open", "closed"]);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain("newer version");
  });
});

describe("the exchange with the store", () => {
  it.each([10, 1_000])("stays below twelve a second at %i calls a second", async (perSecond) => {
    const { instances, clock } = await startFleet(["host-1"]);
    const [alone] = instances;
    const before = alone!.link.exchanges;
    for (let passed = 0; passed < 10_000; passed += 50) {
      alone!.calls(Math.max(1, perSecond / 20), true);
      await clock.advanceAsync(50);
    }
    const rate = (alone!.link.exchanges - before) / 10;
    expect(rate).toBeGreaterThan(5);
    expect(rate).toBeLessThanOrEqual(12);
  });

  it("rests while nothing happens", async () => {
    const { instances, clock } = await startFleet(["host-1"]);
    const before = instances[0]!.link.exchanges;
    await clock.advanceAsync(20_000);
    expect(instances[0]!.link.exchanges - before).toBeLessThanOrEqual(13);
  });

  it("leaves no timer behind when its breakers are closed", async () => {
    const { instances, clock } = await startFleet(hosts(2));
    for (const { breaker } of instances) await breaker.close();
    await clock.advanceAsync(10_000);
    expect(clock.pendingTimers).toBe(0);
    instances[0]!.calls(5, false);
    expect(instances[0]!.breaker.state).toBe("open");
  });

  it("carries the breakers of one process together", async () => {
    const { instances, clock } = await startFleet(["host-1"]);
    const { CircuitBreaker } = await import("./circuit-breaker.ts");
    const { link } = instances[0]!;
    const others = Array.from({ length: 19 }, (_, place) => {
      return new CircuitBreaker({ name: `other-${place}`, store: link, clock, random: () => 0.5 });
    });
    await clock.advanceAsync(500);
    const before = link.exchanges;
    for (let passed = 0; passed < 10_000; passed += 50) {
      for (const breaker of others) {
        const permit = breaker.tryAcquire();
        if (permit.admitted) permit.succeed();
      }
      await clock.advanceAsync(50);
    }
    expect((link.exchanges - before) / 10).toBeLessThanOrEqual(12);
    await Promise.all(others.map((breaker) => breaker.close()));
  });
});
