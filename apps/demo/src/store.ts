import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { HoldfastError, messageOf } from "@holdfast/core";
import { hasRedis, type PrivateRedis, startRedis } from "@holdfast/testkit";
import type { PrivateStore } from "./fleet.ts";
import type { Terminal } from "./terminal.ts";

/** The store that the fleet shares its state through. */
export interface Store {
  name: string;
  /** Tells a service which store to use. */
  env: { HOLDFAST_REDIS_URL?: string; HOLDFAST_SQLITE?: string };
  private: PrivateStore | undefined;
}

/**
 * In a Redis that stays, what an earlier run decided is still in force: each run takes a namespace of its own there, whose
 * keys expire by themselves.
 */
export function policyOfItsOwn(policyFile: URL, home: string, terminal: Pick<Terminal, "say">): string {
  const namespace = `demo-${randomBytes(4).toString("hex")}`;
  const file = join(home, "policy.yaml");
  writeFileSync(file, readFileSync(policyFile, "utf8").replace(/^namespace: .*$/m, `namespace: ${namespace}`));
  terminal.say(`namespace in that Redis: ${namespace}; its keys expire by themselves`);
  return file;
}

/** @throws HoldfastError REDIS_NOT_REACHABLE: what was named explicitly is used or refused, never replaced in silence */
async function checkReachable(redis: string): Promise<void> {
  const { hostname, port } = new URL(redis);
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379), timeout: 3_000 });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
      socket.once("timeout", () => reject(new Error("no answer within 3 s")));
    });
  } catch (cause) {
    throw new HoldfastError(
      "REDIS_NOT_REACHABLE",
      `--redis: nothing answers at ${withoutPassword(redis)} (${messageOf(cause)}). Without --redis a private one is started.`,
      { cause },
    );
  } finally {
    socket.destroy();
  }
}

/**
 * The Redis that was named, else a private one where redis-server is installed, else SQLite.
 *
 * @throws HoldfastError REDIS_NOT_REACHABLE
 */
export async function startStore(
  options: { redis: string | undefined },
  home: string,
  started: AsyncDisposableStack,
): Promise<Store> {
  if (options.redis) {
    await checkReachable(options.redis);
    return {
      name: `the Redis at ${withoutPassword(options.redis)}`,
      env: { HOLDFAST_REDIS_URL: options.redis },
      private: undefined,
    };
  }
  if (!hasRedis())
    return {
      name: "SQLite (no redis-server is installed; fleets on several machines share through Redis)",
      env: { HOLDFAST_SQLITE: join(home, "store.sqlite") },
      private: undefined,
    };
  const redis: PrivateRedis = started.use(await startRedis());
  return {
    name: `private Redis on port ${redis.port}`,
    env: { HOLDFAST_REDIS_URL: redis.url },
    private: { backWithinMs: 2_000, kill: () => redis.kill("SIGKILL"), revive: () => redis.restart().then(Date.now) },
  };
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  parsed.password = parsed.password && "***";
  return parsed.href;
}
