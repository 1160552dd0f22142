// A program that writes once and closes nothing: it must see its answer, and then end by itself.
import { redisOverrideStore } from "../redis.ts";
import { overrideOf } from "./overrides.ts";

const store = redisOverrideStore({ redis: process.argv[2]! });
const id = { namespace: "default", service: "storefront", target: "ledger" };
const result = await store.write("operator", id, overrideOf({}));
const { operator } = await store.read(id);
console.log(JSON.stringify([result, operator?.version]));
