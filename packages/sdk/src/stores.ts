import type { BreakerStore } from "@holdfast/breaker";
import type { Clock, Logger, Random } from "@holdfast/core";
import type { OverrideStore } from "@holdfast/policy";
import type { Settings } from "./settings.ts";

/** Where the fleet meets: for breakers and for policy overrides. Both absent when nothing is named. */
export interface Stores {
  kind: "redis" | "sqlite" | "none";
  breakers: BreakerStore | undefined;
  overrides: OverrideStore | undefined;
  close(): Promise<void>;
}

export interface StoreParts {
  logger: Logger;
  clock: Clock;
  random: Random;
}

/** Redis when one is named, else SQLite when a file is, else none: never a server because it happens to answer. */
export async function openStores(settings: Pick<Settings, "redis" | "sqlite">, parts: StoreParts): Promise<Stores> {
  const { redis, sqlite } = settings;
  if (redis !== null) {
    const [{ redisStore }, { redisOverrideStore }] = await Promise.all([
      import("@holdfast/breaker/redis"),
      import("@holdfast/policy/redis"),
    ]);
    // The connections are the stores' own, also beside a client that was given: a subscriber can't share one, and what
    // fits a service's commands (queues, endless retries) does not fit ours.
    return stores("redis", redisStore({ redis, ...parts }), redisOverrideStore({ redis, ...parts }));
  }
  if (sqlite !== null) {
    const [{ sqliteStore }, { sqliteOverrideStore }] = await Promise.all([
      import("@holdfast/breaker/sqlite"),
      import("@holdfast/policy/sqlite"),
    ]);
    return stores("sqlite", sqliteStore({ file: sqlite, ...parts }), sqliteOverrideStore({ file: sqlite, ...parts }));
  }
  return { kind: "none", breakers: undefined, overrides: undefined, close: () => Promise.resolve() };
}

function stores(kind: Stores["kind"], breakers: BreakerStore, overrides: OverrideStore): Stores {
  return {
    kind,
    breakers,
    overrides,
    async close() {
      await Promise.allSettled([breakers.close(), overrides.close()]);
    },
  };
}
