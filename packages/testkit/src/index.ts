export { type ChildGuard, type ChildGuardOptions, guardChild } from "./child-guard.ts";
export { freePort } from "./free-port.ts";
export { hasRedis, type PrivateRedis, type StartRedisOptions, startRedis } from "./private-redis.ts";
export { seededRandom } from "./seeded-random.ts";
export { TestClock } from "./test-clock.ts";
