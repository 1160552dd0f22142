// A program that follows its policy and forgets to close anything: it must end by itself.
import { livePolicy } from "../live-policy.ts";
import { defaultPolicy } from "../parse-policy.ts";
import { redisOverrideStore } from "../redis.ts";
import { sqliteOverrideStore } from "../sqlite.ts";

const [kind, where] = process.argv.slice(2) as ["redis" | "sqlite", string];
const store = kind === "redis" ? redisOverrideStore({ redis: where }) : sqliteOverrideStore({ file: where });
const live = livePolicy({ policy: defaultPolicy(), service: "storefront", store });
live.target("ledger").onChange((current) => console.log(`pool ${current.pool.size}`));
// Holds the process until the override is there, or for as long as nobody answers.
const hold = setTimeout(() => {}, process.argv[4] === "unreachable" ? 300 : 10_000);
live.target("ledger").onChange(() => clearTimeout(hold));
