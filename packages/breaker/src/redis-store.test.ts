import { readFileSync } from "node:fs";
import { type PrivateRedis, startRedis } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { RedisStore } from "./redis-store.ts";
import type { BreakerStore } from "./store.ts";
import { storeConformance } from "./testing/store-conformance.ts";
import { withinReach } from "./testing/within-reach.ts";

const script = readFileSync(new URL("../lua/sync.lua", import.meta.url), "utf8");
const CLOCK_LINE = /^local time = redis\.call\('TIME'\).*$/m;
/** The same script with a clock that the test holds. */
const scriptWithTestClock = script.replace(CLOCK_LINE, "local time = redis.call('HMGET', 'test:clock', 's', 'us')");

storeConformance("redis", async () => {
  if (!CLOCK_LINE.test(script)) throw new Error("the script's clock is not where this test looks for it");
  const redis: PrivateRedis = await startRedis();
  const admin = new Redis(redis.url);
  const stores: BreakerStore[] = [];
  let clockMs = 0;
  const setClock = async (nowMs: number): Promise<void> => {
    clockMs = nowMs;
    await admin.hset("test:clock", { s: Math.floor(nowMs / 1_000), us: (nowMs % 1_000) * 1_000 });
  };
  return {
    async connect() {
      const store = new RedisStore({ redis: redis.url }, scriptWithTestClock);
      stores.push(store);
      await withinReach(store);
      return store;
    },
    setClock,
    async lose() {
      await admin.flushall();
      await setClock(clockMs);
    },
    async makeForeign(id) {
      await admin.hset(`holdfast:{${id}}:breaker`, "schema", 2);
    },
    async close() {
      await Promise.all(stores.map((store) => store.close()));
      admin.disconnect();
      await redis.close();
    },
  };
});
