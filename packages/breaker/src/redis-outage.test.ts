import { setImmediate as turn } from "node:timers/promises";
import { type PrivateRedis, startRedis } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BreakerOptions, CircuitBreaker } from "./circuit-breaker.ts";
import type { BreakerState } from "./permit.ts";
import { redisStore } from "./redis-store.ts";
import type { BreakerStore } from "./store.ts";
import type { Transition } from "./transition.ts";

let redis: PrivateRedis;
let admin: Redis;
let stores: BreakerStore[];
let breakers: CircuitBreaker[];

beforeEach(async () => {
  redis = await startRedis();
  admin = new Redis(redis.url);
  admin.on("error", () => {});
  stores = [];
  breakers = [];
});

afterEach(async () => {
  await Promise.all(breakers.map((breaker) => breaker.close()));
  await Promise.all(stores.map((store) => store.close()));
  admin.disconnect();
  await redis.close();
});

/** An instance with connections of its own, already in step with the fleet. */
async function instance(domain: string, options: Partial<BreakerOptions> = {}): Promise<CircuitBreaker> {
  const store = redisStore({ redis: redis.url });
  stores.push(store);
  const breaker = new CircuitBreaker({
    name: "target",
    mode: "enforce",
    store,
    identity: { namespace: "test", service: "caller", domain, instance: domain },
    ...options,
  });
  breakers.push(breaker);
  await sharing(breaker, true);
  return breaker;
}

function sharing(breaker: CircuitBreaker, wanted: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (breaker.sharing === wanted) resolve();
    else breaker.onSharing((now) => now === wanted && resolve());
  });
}

function state(breaker: CircuitBreaker, wanted: BreakerState): Promise<Transition | undefined> {
  return new Promise((resolve) => {
    if (breaker.state === wanted) resolve(undefined);
    else breaker.onTransition((transition) => transition.to === wanted && resolve(transition));
  });
}

/** Fails calls until the breaker rejects one. */
async function failUntilOpen(breaker: CircuitBreaker): Promise<void> {
  for (;;) {
    const permit = breaker.tryAcquire();
    if (!permit.admitted) return;
    permit.fail();
    await turn();
  }
}

/** Two instances in a fleet that is open: a third one that made no call has heard of it. */
async function openFleet(): Promise<[CircuitBreaker, CircuitBreaker, quiet: CircuitBreaker]> {
  const options = { openMs: 60_000 };
  const [one, two, quiet] = [
    await instance("one", options),
    await instance("two", options),
    await instance("quiet", options),
  ];
  await Promise.all([failUntilOpen(one), failUntilOpen(two)]);
  await state(quiet, "open");
  return [one, two, quiet];
}

describe("a fleet on a real Redis", () => {
  it("opens on both of its hosts, and tells the third, which says who decided and when", async () => {
    const [one, two, three] = [await instance("one"), await instance("two"), await instance("three")];
    const heard = state(three, "open");
    await Promise.all([failUntilOpen(one), failUntilOpen(two)]);
    const transition = await heard;
    expect(transition).toMatchObject({ from: "closed", to: "open", origin: "fleet" });
    expect(Math.abs(transition!.decidedAtMs! - transition!.atMs)).toBeLessThan(1_000);
  });

  it("goes on without its scripts", async () => {
    const [one, two] = [await instance("one"), await instance("two")];
    await admin.script("FLUSH");
    await Promise.all([failUntilOpen(one), failUntilOpen(two)]);
    await Promise.all([state(one, "open"), state(two, "open")]);
    const fresh = await instance("three");
    await state(fresh, "open");
    expect([one, two, fresh].map((breaker) => breaker.sharing)).toEqual([true, true, true]);
  });

  it("stays open when Redis is flushed while it is, also for who joins later", async () => {
    const [one, two, quiet] = await openFleet();
    const before = quiet.snapshot();
    await admin.flushall();
    const joined = await instance("late", { openMs: 60_000 });
    await state(joined, "open");
    expect(joined.snapshot().incarnation).not.toBe(before.incarnation);
    expect(joined.snapshot().retryAfterMs).toBeLessThanOrEqual(before.retryAfterMs);
    expect([one.state, two.state]).toEqual(["open", "open"]);
  });
});

describe("a Redis that is killed", () => {
  it("costs no call: breaking goes on here, and in step again within two seconds of its return", async () => {
    const [one, two] = [await instance("one", { openMs: 60_000 }), await instance("two", { openMs: 60_000 })];
    let calls = 0;
    const errors: unknown[] = [];
    let running = true;
    const traffic = (async () => {
      while (running) {
        await two.execute(() => Promise.resolve(calls++)).catch((error: unknown) => errors.push(error));
        await turn();
      }
    })();

    const alone = Promise.all([sharing(one, false), sharing(two, false)]);
    await redis.kill("SIGKILL");
    await alone;
    const callsWhenLost = calls;
    await failUntilOpen(one);
    expect(one.state).toBe("open");
    expect(two.state).toBe("closed");
    expect(calls).toBeGreaterThan(callsWhenLost);

    const together = Promise.all([sharing(one, true), sharing(two, true)]);
    await redis.restart();
    const backAt = performance.now();
    await together;
    expect(performance.now() - backAt).toBeLessThan(2_000);

    running = false;
    await traffic;
    expect(errors).toEqual([]);
    // In step: what two reports now is one's fleet, too.
    const heard = state(two, "open");
    await failUntilOpen(two);
    await heard;
    expect(one.state).toBe("open");
  });

  it("keeps an open fleet open over a restart that lost everything", async () => {
    const [one, two] = await openFleet();
    const alone = Promise.all([sharing(one, false), sharing(two, false)]);
    await redis.kill("SIGKILL");
    await alone;
    expect([one.state, two.state]).toEqual(["open", "open"]);
    const together = Promise.all([sharing(one, true), sharing(two, true)]);
    await redis.restart();
    await together;
    const joined = await instance("late");
    await state(joined, "open");
    expect([one.state, two.state]).toEqual(["open", "open"]);
  });
});

describe("a Redis that hangs", () => {
  it("is given up after its time-out, and taken up again when it goes on", async () => {
    const one = await instance("one", { openMs: 60_000 });
    const alone = sharing(one, false);
    redis.pause();
    for (let call = 0; call < 10; call++) await one.execute(() => Promise.resolve());
    await alone;
    await failUntilOpen(one);
    expect(one.state).toBe("open");
    const together = sharing(one, true);
    redis.resume();
    const backAt = performance.now();
    await together;
    expect(performance.now() - backAt).toBeLessThan(2_000);
  });
});
