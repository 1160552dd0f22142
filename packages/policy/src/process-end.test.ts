import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { freePort, startRedis } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { redisOverrideStore } from "./redis.ts";
import { sqliteOverrideStore } from "./sqlite.ts";
import { overrideOf } from "./testing/overrides.ts";

const id = { namespace: "default", service: "storefront", target: "ledger" };

async function run(
  program: string,
  ...args: string[]
): Promise<{ output: string; code: number | null; tookMs: number }> {
  const start = performance.now();
  const file = new URL(`./testing/${program}.ts`, import.meta.url).pathname;
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", file, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit") as Promise<[number | null]>]);
  return { output, code, tookMs: performance.now() - start };
}

describe("a program that closes nothing", () => {
  it("ends by itself with a live policy over Redis", async () => {
    await using redis = await startRedis();
    await using store = redisOverrideStore({ redis: redis.url });
    await store.write("operator", id, overrideOf({ values: { "pool.size": 42 } }));
    const { output, code, tookMs } = await run("forgotten-policy", "redis", redis.url);
    expect([output, code]).toEqual(["pool 42\n", 0]);
    expect(tookMs).toBeLessThan(8_000);
  });

  it("ends by itself with a live policy over SQLite", async () => {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-policy-"));
    const file = join(directory, "store.db");
    await using store = sqliteOverrideStore({ file });
    await store.write("operator", id, overrideOf({ values: { "pool.size": 42 } }));
    const { output, code, tookMs } = await run("forgotten-policy", "sqlite", file);
    expect([output, code]).toEqual(["pool 42\n", 0]);
    expect(tookMs).toBeLessThan(8_000);
    await rm(directory, { recursive: true });
  });

  it("gets its answer before it ends", async () => {
    await using redis = await startRedis();
    const { output, code, tookMs } = await run("one-write", redis.url);
    expect([output, code]).toEqual(['[{"ok":true},1]\n', 0]);
    expect(tookMs).toBeLessThan(8_000);
  });

  it("ends by itself when Redis refuses connections, and when it is stopped in its tracks", async () => {
    const refused = await run("forgotten-policy", "redis", `redis://127.0.0.1:${await freePort()}`, "unreachable");
    await using redis = await startRedis();
    redis.pause();
    const stopped = await run("forgotten-policy", "redis", redis.url, "unreachable");
    redis.resume();
    expect([refused.code, stopped.code]).toEqual([0, 0]);
    expect(Math.max(refused.tookMs, stopped.tookMs)).toBeLessThan(8_000);
  });
});
