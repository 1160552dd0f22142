import { type PrivateRedis, startRedis } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { overrideKey } from "./override-codec.ts";
import type { OverrideStore } from "./override-store.ts";
import { redisOverrideStore } from "./redis.ts";
import { describeOverrideStore, follow } from "./testing/override-store-conformance.ts";
import { overrideOf } from "./testing/overrides.ts";

const id = { namespace: "shop", service: "storefront", target: "ledger" };

let server: PrivateRedis;
let admin: Redis;

beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
  admin.on("error", () => {});
});

afterAll(async () => {
  admin.disconnect();
  await server.close();
});

describeOverrideStore("Redis", async () => {
  await admin.flushall();
  return {
    open: () => redisOverrideStore({ redis: server.url }),
    plant: async (layer, target, text) => void (await admin.set(overrideKey(target, layer), text)),
    close: async () => {},
  };
});

describe("overrides in Redis", () => {
  beforeEach(() => admin.flushall());

  it("are one readable value each, under one hash tag, and cleaned up long after they expired", async () => {
    await using store = redisOverrideStore({ redis: server.url });
    const expiresAtMs = Date.now() + 60_000;
    await store.write("controller", id, overrideOf({ epoch: 3, version: 7, expiresAtMs }));
    const key = "holdfast:{shop/storefront/ledger}:policy:controller";
    expect(JSON.parse((await admin.get(key))!)).toMatchObject({ schema: 1, epoch: 3, version: 7 });
    expect(await admin.pexpiretime(key)).toBe(expiresAtMs + 7 * 24 * 3_600_000);
  });

  it("arrive by the hint, long before the next poll", async () => {
    await using store = redisOverrideStore({ redis: server.url, pollMs: 300_000 });
    await using writer = redisOverrideStore({ redis: server.url });
    const seen = follow(store, id);
    await seen.until(() => true);
    await subscribed(id.target);
    const start = performance.now();
    await writer.write("controller", id, overrideOf({}));
    await seen.until((overrides) => overrides.controller !== undefined);
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  it("arrive by the poll when the hint was lost", async () => {
    await using store = redisOverrideStore({ redis: server.url, pollMs: 100 });
    const seen = follow(store, id);
    await seen.until(() => true);
    await subscribed(id.target);
    // A plain SET publishes nothing.
    await admin.set(overrideKey(id, "controller"), JSON.stringify({ schema: 1, ...overrideOf({ version: 4 }) }));
    await seen.until((overrides) => overrides.controller?.version === 4);
  });

  it("may be read by a user that may not write", async () => {
    const rights = "%R~holdfast:*:policy:* &holdfast:* +@connection +info +mget +subscribe +unsubscribe".split(" ");
    await admin.call("ACL", "SETUSER", "service", "on", ">pw", "resetkeys", "resetchannels", "nocommands", ...rights);
    await using writer = redisOverrideStore({ redis: server.url });
    await using reader = redisOverrideStore({
      redis: { port: server.port, username: "service", password: "pw" },
      pollMs: 300_000,
    });
    const seen = follow(reader, id);
    await seen.until(() => true);
    await subscribed(id.target);
    await writer.write("operator", id, overrideOf({}));
    await seen.until((overrides) => overrides.operator !== undefined);
    await expect(reader.write("operator", id, overrideOf({ version: 2 }))).rejects.toMatchObject({
      code: "POLICY_STORE_UNAVAILABLE",
      message: expect.stringContaining("NOPERM"),
    });
  });

  it("go through a connection of the user's, which stays open", async () => {
    const redis = new Redis(server.url);
    const store = redisOverrideStore({ redis });
    const seen = follow(store, id);
    await seen.until(() => true);
    await store.write("controller", id, overrideOf({}));
    await seen.until((overrides) => overrides.controller !== undefined);
    await store.close();
    expect(await redis.ping()).toBe("PONG");
    redis.disconnect();
  });
});

describe("overrides while Redis is away", () => {
  let store: OverrideStore;

  beforeEach(async () => {
    await admin.flushall();
    store = redisOverrideStore({ redis: server.url, timeoutMs: 500, pollMs: 300_000 });
  });
  afterEach(() => store.close());

  it("are refused with one code, in time, and followed again within 2 s of its return", async () => {
    const seen = watched(store);
    await seen.recovered(() => seen.changes > 0);
    const before = performance.now();
    await server.kill("SIGKILL");
    await expect(store.read(id)).rejects.toMatchObject({ code: "POLICY_STORE_UNAVAILABLE" });
    expect(performance.now() - before).toBeLessThan(3_000);
    await server.restart();
    const returned = performance.now();
    const writer = redisOverrideStore({ redis: server.url });
    await writer.write("controller", id, overrideOf({ version: 8 }));
    await seen.recovered(() => seen.version === 8);
    expect(performance.now() - returned).toBeLessThan(2_000);
    await writer.close();
  });

  it("are not written after their writer was told that they could not be", async () => {
    await server.kill();
    await expect(store.write("controller", id, overrideOf({}))).rejects.toMatchObject({
      code: "POLICY_STORE_UNAVAILABLE",
    });
    await server.restart();
    // The first telling after the return.
    await follow(store, id).until(() => true);
    expect((await store.read(id)).controller).toBeUndefined();
  });

  it("are not waited for when the server is stopped in its tracks", async () => {
    await store.write("controller", id, overrideOf({ version: 1 }));
    const seen = watched(store);
    await seen.recovered(() => seen.version === 1);
    server.pause();
    try {
      const before = performance.now();
      await expect(store.read(id)).rejects.toMatchObject({ code: "POLICY_STORE_UNAVAILABLE" });
      await expect(store.write("controller", id, overrideOf({ version: 2 }))).rejects.toMatchObject({
        code: "POLICY_STORE_UNAVAILABLE",
      });
      expect(performance.now() - before).toBeLessThan(3_000);
    } finally {
      server.resume();
    }
    await admin.set(overrideKey(id, "controller"), JSON.stringify({ schema: 1, ...overrideOf({ version: 9 }) }));
    const returned = performance.now();
    await seen.recovered(() => seen.version === 9);
    expect(performance.now() - returned).toBeLessThan(2_000);
  });
});

/** Waits until the server knows a subscriber of the target's channel. */
async function subscribed(target: string): Promise<void> {
  const channel = `holdfast:{shop/storefront/${target}}:policy`;
  for (;;) {
    const [, subscribers] = (await admin.pubsub("NUMSUB", channel)) as [string, number];
    if (subscribers > 0) return;
  }
}

function watched(store: OverrideStore): {
  changes: number;
  version: number | undefined;
  recovered(fits: () => boolean): Promise<void>;
} {
  let wake = (): void => {};
  const seen = {
    changes: 0,
    version: undefined as number | undefined,
    async recovered(fits: () => boolean): Promise<void> {
      while (!fits()) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
  store.watch([id], {
    onChange(overrides) {
      seen.changes++;
      seen.version = overrides.controller?.version;
      wake();
    },
  });
  return seen;
}
