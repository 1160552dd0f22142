export { type ChildGuardOptions, type Guard, guardChild, guardDirectory } from "./child-guard.ts";
export { freePort } from "./free-port.ts";
export { hasRedis, type PrivateRedis, type StartRedisOptions, startRedis } from "./private-redis.ts";
export { type ProbeOptions, type ProbeResult, probe } from "./probe.ts";
export { type Prober, type ProberOptions, startProber } from "./prober.ts";
export { seededRandom } from "./seeded-random.ts";
export { type RotateOptions, type Rotation, type SvidFileContents, writeSvidFiles } from "./svid-files.ts";
export { TestClock } from "./test-clock.ts";
export {
  type AuthorityOptions,
  type IssuedSvid,
  type IssueOptions,
  type KeyUsage,
  ThrowawayAuthority,
} from "./throwaway-authority.ts";
