import { startRedis, TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { livePolicy } from "./live-policy.ts";
import { memoryOverrideStore } from "./memory-override-store.ts";
import type { OverrideId } from "./override.ts";
import type { OverrideListener, OverrideStore } from "./override-store.ts";
import { defaultPolicy, parsePolicy } from "./parse-policy.ts";
import type { Policy } from "./policy.ts";
import { redisOverrideStore } from "./redis.ts";
import type { TargetPolicy } from "./target-policy.ts";
import { overrideOf } from "./testing/overrides.ts";

const id = { namespace: "shop", service: "storefront", target: "ledger" };

function document(size = 4): Policy {
  return parsePolicy(`
apiVersion: holdfast.dev/v1alpha1
kind: Policy
namespace: shop
targets:
  ledger:
    pool: { size: ${size} }
    tuning:
      mode: apply
      bounds:
        pool.size: { min: 2, max: 20, maxStep: 4 }
        breaker.failureRateThreshold: { min: 20%, max: 80% }
`);
}

/** Lets what the memory store tells arrive. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function expiring(clock: TestClock, inMs: number, fields = {}) {
  return overrideOf({ expiresAtMs: clock.now() + inMs, ...fields });
}

describe("a live policy", () => {
  it("is the document where there is no store", () => {
    const live = livePolicy({ policy: document(), service: "storefront" });
    expect(live.target("ledger").current).toBe(live.policy.target("ledger"));
    expect(live.target("never heard of").current.deadlineMs).toBe(10_000);
    expect(live.connected).toBe(false);
  });

  it("follows an override, tells its listeners, and falls back to the layer below when it expires", async () => {
    const clock = new TestClock();
    await using store = memoryOverrideStore();
    await using live = livePolicy({ policy: document(), service: "storefront", store, clock });
    const target = live.target("ledger");
    const told: [TargetPolicy, TargetPolicy][] = [];
    target.onChange((...change) => told.push(change));
    await store.write("controller", id, expiring(clock, 60_000, { values: { "pool.size": 8 } }));
    await store.write("operator", id, expiring(clock, 30_000, { values: { "pool.size": 2 } }));
    await turn();
    expect(target.current.pool.size).toBe(2);
    clock.advance(30_000);
    expect(target.current.pool.size).toBe(8);
    expect(target.layers).toMatchObject({ file: { epoch: 0, version: 1 }, controller: { version: 1 } });
    expect(target.layers.operator).toBeUndefined();
    clock.advance(30_000);
    expect(target.current.pool.size).toBe(4);
    const steps = told.map(([current, before]) => [before.pool.size, current.pool.size]);
    expect(steps.at(-1)).toEqual([8, 4]);
    // Each telling goes on where the one before it ended.
    expect(steps.slice(1).map(([before]) => before)).toEqual(steps.slice(0, -1).map(([, after]) => after));
    expect(clock.pendingTimers).toBe(0);
  });

  it("replaces the policy as a whole: whoever holds one sees no half of the next", async () => {
    await using store = memoryOverrideStore();
    await using live = livePolicy({ policy: document(), service: "storefront", store });
    const target = live.target("ledger");
    const before = target.current;
    await store.write(
      "controller",
      id,
      overrideOf({ values: { "pool.size": 8, "breaker.failureRateThreshold": 0.3 } }),
    );
    await turn();
    expect([before.pool.size, before.breaker.failureRateThreshold]).toEqual([4, 0.5]);
    expect([target.current.pool.size, target.current.breaker.failureRateThreshold]).toEqual([8, 0.3]);
    expect(target.current.deadlineMs).toBe(before.deadlineMs);
    const parts = [target.current, target.current.pool, target.current.breaker, target.current.urls];
    expect(parts.every(Object.isFrozen)).toBe(true);
  });

  it("reports what it runs and what it refused", async () => {
    await using store = memoryOverrideStore();
    const lines: unknown[] = [];
    const log = (fields: object, message: string): void => void lines.push({ message, ...fields });
    const logger = { debug: log, info: log, warn: log, error: log };
    await using live = livePolicy({ policy: document(), service: "storefront", store, logger });
    live.target("ledger");
    await store.write("controller", id, overrideOf({ epoch: 2, version: 1, values: { "pool.size": 8 } }));
    await turn();
    await store.write("controller", id, overrideOf({ epoch: 2, version: 2, values: { "pool.size": 99 } }));
    await turn();
    expect(live.echo()).toEqual([
      {
        target: "ledger",
        layers: [
          { layer: "file", epoch: 0, version: 1 },
          { layer: "controller", epoch: 2, version: 1 },
        ],
        values: [
          { knob: "breaker.failureRateThreshold", value: 0.5, layer: "file" },
          { knob: "pool.size", value: 8, layer: "controller" },
        ],
        rejections: 1,
      },
    ]);
    expect(live.target("ledger").rejected).toMatchObject([{ layer: "controller", epoch: 2, version: 2 }]);
    expect(lines).toEqual([
      expect.objectContaining({
        message: "an override was refused; what was in force stays",
        target: "ledger",
        decisionId: "d-1",
        reason: "pool.size is bound to 2 to 20, 99 is outside",
      }),
    ]);
  });

  it("notices an expiry also when the wall clock jumped over it", async () => {
    const clock = new TestClock();
    await using store = memoryOverrideStore();
    await using live = livePolicy({ policy: document(), service: "storefront", store, clock });
    const target = live.target("ledger");
    await store.write("controller", id, expiring(clock, 600_000));
    await turn();
    clock.jumpWall(3_600_000);
    clock.advance(5_000);
    expect(target.current.pool.size).toBe(4);
  });

  it("puts another document below the overrides", async () => {
    await using store = memoryOverrideStore();
    await using live = livePolicy({ policy: document(), service: "storefront", store });
    const target = live.target("ledger");
    const told: number[] = [];
    target.onChange((current) => told.push(current.pool.size));
    await store.write("controller", id, overrideOf({ values: { "breaker.failureRateThreshold": 0.3 } }));
    await turn();
    live.replace(document(6));
    expect(target.current.pool.size).toBe(6);
    expect(target.current.breaker.failureRateThreshold).toBe(0.3);
    expect(target.layers.file).toEqual({ epoch: 0, version: 2 });
    expect(told).toEqual([4, 6]);
  });

  it("goes on telling the others when a listener throws, and stops telling who left", async () => {
    await using store = memoryOverrideStore();
    await using live = livePolicy({ policy: document(), service: "storefront", store });
    const target = live.target("ledger");
    const told: string[] = [];
    target.onChange(() => {
      throw new Error("mine");
    });
    const leave = target.onChange(() => told.push("left"));
    target.onChange(() => told.push("stayed"));
    leave();
    await store.write("controller", id, overrideOf({}));
    await turn();
    expect(told).toEqual(["stayed"]);
  });

  it("logs once that the store is away and once that it is back, and keeps what it has meanwhile", () => {
    const lines: string[] = [];
    const log = (_fields: object, message: string): void => void lines.push(message);
    const logger = { debug: log, info: log, warn: log, error: log };
    const store = new ScriptedStore();
    const live = livePolicy({ policy: document(), service: "storefront", store, logger });
    const target = live.target("ledger");
    store.listener.onChange({ controller: overrideOf({ values: { "pool.size": 8 } }) }, id);
    expect(live.connected).toBe(true);
    store.listener.onError?.(new Error("gone"));
    store.listener.onError?.(new Error("gone"));
    expect([live.connected, target.current.pool.size]).toEqual([false, 8]);
    store.listener.onRecovery?.();
    expect(live.connected).toBe(true);
    expect(lines).toEqual([
      "the policy store does not answer: overrides hold until they expire, new ones wait",
      "the policy store answers again",
    ]);
  });

  it("gives the same target for the same name, and caps what it follows", async () => {
    const store = new ScriptedStore();
    const live = livePolicy({ policy: defaultPolicy(), service: "storefront", store });
    expect(live.target("a")).toBe(live.target("a"));
    for (let index = 0; index < 1_500; index++) live.target(`made-up-${index}`);
    expect(store.watched.length).toBe(1_000);
    expect(live.echo()).toHaveLength(1_000);
    expect(live.target("made-up-1499").current.deadlineMs).toBe(10_000);
    await live.close();
    expect(store.watched).toEqual([]);
  });

  it("keeps its values through an outage of Redis, and has the new ones within 2 s of its return", async () => {
    await using server = await startRedis();
    await using store = redisOverrideStore({ redis: server.url, timeoutMs: 500 });
    await using live = livePolicy({ policy: document(), service: "storefront", store });
    const target = live.target("ledger");
    const sizes: number[] = [];
    let wake = (): void => {};
    target.onChange((current) => {
      sizes.push(current.pool.size);
      wake();
    });
    const size = async (wanted: number): Promise<void> => {
      while (target.current.pool.size !== wanted) await new Promise<void>((resolve) => (wake = resolve));
    };
    await store.write("controller", id, overrideOf({ epoch: 1, version: 5, values: { "pool.size": 8 } }));
    await size(8);
    await server.kill();
    expect(target.current.pool.size).toBe(8);
    await server.restart();
    const returned = performance.now();
    // Redis came back empty, and its writer counts on from what it knows.
    await using writer = redisOverrideStore({ redis: server.url });
    await writer.write("controller", id, overrideOf({ epoch: 2, version: 6, values: { "pool.size": 9 } }));
    await size(9);
    expect(performance.now() - returned).toBeLessThan(2_000);
    expect(sizes).toEqual([8, 9]);
  });
});

/** Tells what the test says. */
class ScriptedStore implements OverrideStore {
  watched: OverrideId[] = [];
  listener: OverrideListener = { onChange() {} };

  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void {
    this.watched.push(...ids);
    this.listener = listener;
    return () => {
      this.watched = this.watched.filter((each) => !ids.includes(each));
    };
  }

  read(): Promise<never> {
    return Promise.reject(new Error("not scripted"));
  }

  write(): Promise<never> {
    return Promise.reject(new Error("not scripted"));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
