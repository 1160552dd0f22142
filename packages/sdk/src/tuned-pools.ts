import { attr, type Clock, type Logger, messageOf, metric } from "@holdfast/core";
import type { LivePolicy } from "@holdfast/policy";
import { type Meter, metrics, type ObservableGauge } from "@opentelemetry/api";
import type { ResizablePool, TunedPool } from "./holdfast.ts";

export interface TunedPoolsOptions {
  policy: LivePolicy;
  logger: Logger;
  clock: Clock;
}

/** Seconds: a wait is nothing where there is room, and a caller's whole patience where there is none. */
const WAIT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Seconds: from one statement to a long report. */
const USE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Pools that follow the policy's `pool.size`, and their metrics. */
export class TunedPools {
  readonly #options: TunedPoolsOptions;
  readonly #meter: Meter = metrics.getMeter("@holdfast/sdk");
  readonly #waits = this.#meter.createHistogram(metric.poolWait, {
    unit: "s",
    description: "How long a caller waited for a connection",
    advice: { explicitBucketBoundaries: WAIT_BUCKETS },
  });
  readonly #uses = this.#meter.createHistogram(metric.poolUse, {
    unit: "s",
    description: "How long a connection was held",
    advice: { explicitBucketBoundaries: USE_BUCKETS },
  });
  readonly #pools = new Map<string, ResizablePool>();
  readonly #unfollow = new Map<string, () => void>();
  readonly #unobserve: (() => void)[];

  constructor(options: TunedPoolsOptions) {
    this.#options = options;
    this.#unobserve = [
      this.#observe(metric.poolSize, "Connections that may be open", (pool) => pool.size()),
      this.#observe(metric.poolInUse, "Connections that carry work now", (pool) => pool.inUse()),
      this.#observe(metric.poolPending, "Callers that wait for a connection now", (pool) => pool.pending()),
    ];
  }

  tune(name: string, pool: ResizablePool): TunedPool {
    if (this.#pools.has(name)) throw new TypeError(`target "${name}" has a pool already`);
    const { policy, clock } = this.#options;
    const live = policy.target(name);
    this.#pools.set(name, pool);
    this.#unfollow.set(
      name,
      live.onChange((current) => this.#resize(name, pool, current.pool.size)),
    );
    // Without a word in the document the size in the code stands.
    if (policy.policy.targets.has(name) || live.layers.controller || live.layers.operator)
      this.#resize(name, pool, live.current.pool.size);
    const attributes = { [attr.target]: name };
    const heldSince = new WeakMap<object, number>();
    return {
      measure: async (acquire) => {
        const askedAt = clock.monotonic();
        try {
          const connection = await acquire();
          if (isObject(connection)) heldSince.set(connection, clock.monotonic());
          return connection;
        } finally {
          // A caller that gave up waiting has waited too: without it the worst pools would look the best.
          this.#waits.record((clock.monotonic() - askedAt) / 1_000, attributes);
        }
      },
      released: (connection) => {
        const since = isObject(connection) ? heldSince.get(connection) : undefined;
        if (since === undefined) return;
        heldSince.delete(connection as object);
        this.#uses.record((clock.monotonic() - since) / 1_000, attributes);
      },
      close: () => this.#forget(name),
    };
  }

  close(): void {
    for (const name of this.#pools.keys()) this.#forget(name);
    for (const unobserve of this.#unobserve) unobserve();
  }

  #forget(name: string): void {
    this.#unfollow.get(name)?.();
    this.#unfollow.delete(name);
    this.#pools.delete(name);
  }

  #resize(name: string, pool: ResizablePool, to: number): void {
    const { logger } = this.#options;
    try {
      const from = pool.size();
      if (from === to) return;
      pool.resize(to);
      logger.info({ target: name, from, to }, "pool resized");
    } catch (error) {
      logger.error({ target: name, to, error: messageOf(error) }, "a pool could not be resized");
    }
  }

  #observe(name: string, description: string, read: (pool: ResizablePool) => number): () => void {
    const gauge = this.#meter.createObservableGauge(name, { description, unit: "{connection}" });
    const observe: Parameters<ObservableGauge["addCallback"]>[0] = (result) => {
      for (const [target, pool] of this.#pools) result.observe(read(pool), { [attr.target]: target });
    };
    gauge.addCallback(observe);
    return () => gauge.removeCallback(observe);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
