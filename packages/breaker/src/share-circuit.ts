import { type Clock, type Logger, silentLogger } from "@holdfast/core";
import type { Redis, RedisOptions } from "ioredis";
import type Opossum from "opossum";
import { type BreakerSnapshot, CircuitBreaker } from "./circuit-breaker.ts";
import { OpossumMirror } from "./opossum-mirror.ts";
import type { BreakerState } from "./permit.ts";
import { redisStore } from "./redis-store.ts";
import type { BreakerSettingsInput } from "./settings.ts";
import type { BreakerIdentity, BreakerStore } from "./store.ts";
import type { Transition } from "./transition.ts";

/**
 * Settings that are absent are the opossum breaker's own: `errorThresholdPercentage`, `resetTimeout`,
 * `rollingCountTimeout`, `volumeThreshold`. `mode` is "enforce" unless said otherwise, as an opossum breaker enforces.
 */
export interface ShareCircuitOptions extends BreakerSettingsInput {
  /** Where Redis is: an address, an ioredis instance or its options. Undefined without `store`: shared with nobody. */
  redis?: string | Redis | RedisOptions | undefined;
  /** Another store instead; the caller closes it. */
  store?: BreakerStore | undefined;
  /** The breaker's name in the fleet. Default the opossum breaker's. */
  name?: string | undefined;
  identity?: { [Part in keyof BreakerIdentity]?: BreakerIdentity[Part] | undefined } | undefined;
  logger?: Logger | undefined;
  clock?: Clock | undefined;
}

export interface SharedCircuit extends AsyncDisposable {
  readonly state: BreakerState;
  /** Whether the fleet's state counts here now. */
  readonly sharing: boolean;
  snapshot(): BreakerSnapshot;
  onTransition(listener: (transition: Transition) => void): () => void;
  reconfigure(settings: BreakerSettingsInput): void;
  /** Gives the opossum breaker back as it was. Happens by itself when it is shut down. */
  close(): Promise<void>;
}

/**
 * Makes an opossum breaker that exists share its state with the same breaker in every other process. It keeps its API,
 * its events and its statistics; what opens and closes it is the fleet.
 *
 * @throws TypeError or RangeError naming the option and the value
 */
export function shareCircuit<Args extends unknown[], Result>(
  breaker: Opossum<Args, Result>,
  options: ShareCircuitOptions = {},
): SharedCircuit {
  const { redis, store, name = breaker.name, logger = silentLogger, ...rest } = options;
  const lease = store ? { store, release: () => Promise.resolve() } : leaseRedis(redis);
  if (!lease)
    logger.warn({ breaker: name }, "shareCircuit was given neither redis nor store: the breaker is shared with nobody");
  const circuit = new CircuitBreaker({
    ...settingsOf(breaker),
    mode: "enforce",
    ...definedOf(rest),
    name,
    logger,
    store: lease?.store,
  });
  const mirror = new OpossumMirror(breaker as unknown as Opossum, circuit);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      mirror.close();
      await circuit.close();
      await lease?.release();
    })();
    return closing;
  };
  breaker.once("shutdown", () => void close());
  return {
    get state() {
      return circuit.state;
    },
    get sharing() {
      return circuit.sharing;
    },
    snapshot: () => circuit.snapshot(),
    onTransition: (listener) => circuit.onTransition(listener),
    reconfigure(settings) {
      circuit.reconfigure(settings);
      mirror.align();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What the breaker was made with, in our words and within our ranges. */
function settingsOf(breaker: Pick<Opossum, "volumeThreshold">): BreakerSettingsInput {
  const { options, volumeThreshold } = breaker as unknown as { options: Opossum.Options; volumeThreshold: number };
  const { errorThresholdPercentage = 50, resetTimeout = 30_000, rollingCountTimeout = 10_000 } = options;
  const openMs = Math.min(86_400_000, Math.max(1, resetTimeout));
  return {
    failureRateThreshold: Math.min(1, Math.max(0.01, errorThresholdPercentage / 100)),
    openMs,
    maxOpenMs: Math.max(openMs, 120_000),
    windowMs: Math.min(3_600_000, Math.max(100, rollingCountTimeout)),
    minimumCalls: Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, volumeThreshold)),
    // opossum has no such rule, and a breaker that is only to be shared should not begin to trip on another.
    consecutiveFailures: 0,
  };
}

/** Without what is undefined, which would cover the opossum breaker's own. */
function definedOf<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

interface Lease {
  readonly store: BreakerStore;
  release(): Promise<void>;
}

/** One pair of connections for all breakers of the process that name the same address. */
const stores = new Map<string, { store: BreakerStore; users: number }>();

function leaseRedis(redis: ShareCircuitOptions["redis"]): Lease | undefined {
  if (redis === undefined || redis === "") return undefined;
  if (typeof redis !== "string") {
    const store = redisStore({ redis });
    return { store, release: () => store.close() };
  }
  const entry = stores.get(redis) ?? { store: redisStore({ redis }), users: 0 };
  stores.set(redis, entry);
  entry.users++;
  return {
    store: entry.store,
    async release() {
      if (--entry.users > 0) return;
      stores.delete(redis);
      await entry.store.close();
    },
  };
}
