import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort, startRedis } from "@holdfast/testkit";
import { describe, expect, it, onTestFinished } from "vitest";

const program = fileURLToPath(new URL("testing/exits-by-itself.ts", import.meta.url));

/** Resolves with what the program printed once it has ended; a program that hangs is killed, which rejects. */
async function run(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=@holdfast/source", program, ...args], {
    timeout: 15_000,
  });
  return stdout.trim();
}

describe("a process that closes nothing ends by itself", () => {
  it("with a store in Redis", async () => {
    await using redis = await startRedis();
    expect(await run("redis", redis.url, "shared")).toBe("done closed true");
  });

  it("with a Redis that is not there", async () => {
    expect(await run("redis", `redis://127.0.0.1:${await freePort()}`)).toBe("done closed false");
  });

  it("with a Redis that does not answer", async () => {
    await using redis = await startRedis();
    redis.pause();
    expect(await run("redis", redis.url)).toBe("done closed false");
  });

  it("with a store in SQLite", async () => {
    const directory = mkdtempSync(join(tmpdir(), "holdfast-breaker-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    expect(await run("sqlite", join(directory, "breakers.db"), "shared")).toBe("done closed true");
  });
});
