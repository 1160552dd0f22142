import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { hasRedis, startRedis } from "./index.ts";

/** Sends one inline command and returns what comes back first; rejects when nobody listens. */
async function ask(port: number, command: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    socket.write(`${command}\r\n`);
    const [reply] = (await once(socket, "data")) as [Buffer];
    return reply.toString();
  } finally {
    socket.destroy();
  }
}

describe("a private Redis", () => {
  it("answers, and is gone after close()", async () => {
    const redis = await startRedis();
    expect(await ask(redis.port, "PING")).toBe("+PONG\r\n");
    expect(redis.url).toBe(`redis://127.0.0.1:${redis.port}`);
    await redis.close();
    await expect(ask(redis.port, "PING")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("comes back empty on the same port after it was killed", async () => {
    await using redis = await startRedis();
    const { pid, port } = redis;
    await ask(port, "SET key value");
    await redis.kill();
    expect(() => redis.pid).toThrow("was killed");
    await redis.restart();
    expect(redis.port).toBe(port);
    expect(redis.pid).not.toBe(pid);
    expect(await ask(port, "GET key")).toBe("$-1\r\n");
  });

  it("holds its answers while paused", async () => {
    await using redis = await startRedis();
    redis.pause();
    let answered = false;
    const answer = ask(redis.port, "PING").finally(() => {
      answered = true;
    });
    // A whole start of another server is time enough for an answer, had there been one.
    await using _other = await startRedis();
    expect(answered).toBe(false);
    redis.resume();
    expect(await answer).toBe("+PONG\r\n");
  });

  it("takes more arguments", async () => {
    await using redis = await startRedis({ args: ["--requirepass", "secret"] });
    expect(await ask(redis.port, "PING")).toMatch(/^-NOAUTH/);
  });

  it("names the package to install when there is no binary", async () => {
    expect(hasRedis()).toBe(true);
    expect(hasRedis("no-such-server")).toBe(false);
    await expect(startRedis({ binary: "no-such-server" })).rejects.toMatchObject({
      code: "REDIS_NOT_FOUND",
      message: expect.stringContaining("apt-get install redis-server"),
    });
  });

  it("passes on the server's own words when it does not start", async () => {
    await expect(startRedis({ args: ["--no-such-option", "1"] })).rejects.toMatchObject({
      code: "REDIS_START_FAILED",
      message: expect.stringContaining("no-such-option"),
    });
  });

  it("ends with its parent, even when that is killed", async () => {
    const script = `
      import { startRedis } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
      const redis = await startRedis();
      console.log(redis.pid);
      setInterval(() => {}, 1_000);
    `;
    const parent = spawn(process.execPath, ["--conditions=@holdfast/source", "--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
    const pid = Number(line);
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  });
});

/** Dead also counts as such while its adopter has not reaped it yet. */
function isAlive(pid: number): boolean {
  const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1] : undefined;
  return state !== undefined && !state.startsWith("Z");
}
