import { CircuitBreaker, memoryStore } from "@holdfast/breaker";
import { redisStore } from "@holdfast/breaker/redis";
import { startRedis } from "@holdfast/testkit";
import { circuitBreaker, handleAll, SamplingBreaker } from "cockatiel";
import Opossum from "opossum";
import type { BarResult } from "./bar.ts";
import { percentile } from "./percentile.ts";

export interface GateCostOptions {
  /** Calls of one round. Default 100_000. */
  calls?: number | undefined;
  /** Rounds of each contestant, taken in turn, the median of which counts. Default 9. */
  rounds?: number | undefined;
}

/**
 * What a breaker adds to a call, beside cockatiel's sampling breaker and opossum in the same run: closed, with a live
 * store in Redis attached to ours; and rejecting while open.
 */
export async function run(options: GateCostOptions = {}): Promise<BarResult> {
  const { calls = 100_000, rounds = 9 } = options;
  await using redis = await startRedis();
  await using store = redisStore({ redis: redis.url });
  await using shared = new CircuitBreaker({ name: "shared", mode: "enforce", store });
  await using local = new CircuitBreaker({ name: "local", mode: "enforce" });
  await inStep(shared);
  const sampling = (): SamplingBreaker => new SamplingBreaker({ threshold: 0.5, duration: 10_000 });
  const cockatiel = circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: sampling() });
  const nothing = async (): Promise<void> => {};
  const opossum = new Opossum(nothing, { timeout: false });

  await using openShared = new CircuitBreaker({ name: "open", mode: "enforce", store: memoryStore(), openMs: 120_000 });
  trip(openShared);
  const openCockatiel = circuitBreaker(handleAll, { halfOpenAfter: 600_000, breaker: sampling() });
  const isolated = openCockatiel.isolate();
  const openOpossum = new Opossum(nothing, { timeout: false, resetTimeout: 600_000 });
  openOpossum.open();
  const swallow = (): void => {};

  const medians = await contest(
    {
      bare: nothing,
      gate: async () => {
        const permit = shared.tryAcquire();
        if (permit.admitted) permit.succeed();
      },
      shared: () => shared.execute(nothing),
      local: () => local.execute(nothing),
      cockatiel: () => cockatiel.execute(nothing),
      opossum: () => opossum.fire(),
      rejectGate: async () => void openShared.tryAcquire(),
      reject: () => openShared.execute(nothing).catch(swallow),
      rejectCockatiel: () => openCockatiel.execute(nothing).catch(swallow),
      rejectOpossum: () => openOpossum.fire().catch(swallow),
    },
    calls,
    rounds,
  );
  isolated.dispose();
  opossum.shutdown();
  openOpossum.shutdown();
  return {
    name: "gate-cost",
    bar: "",
    figures: {
      "a bare await, us": medians.bare!,
      "tryAcquire and succeed alone, us": medians.gate!,
      "execute with a live Redis store, us": medians.shared!,
      "execute without a store, us": medians.local!,
      "cockatiel, us": medians.cockatiel!,
      "opossum, us": medians.opossum!,
      "execute with a store / cockatiel": medians.shared! / medians.cockatiel!,
      "execute with a store / opossum": medians.shared! / medians.opossum!,
      "rejection by tryAcquire, us": medians.rejectGate!,
      "rejection by execute, us": medians.reject!,
      "rejection by cockatiel, us": medians.rejectCockatiel!,
      "rejection by opossum, us": medians.rejectOpossum!,
      "rejection by execute / opossum": medians.reject! / medians.rejectOpossum!,
    },
  };
}

/** Nothing of a breaker holds the process, so that waiting for one has to. */
async function inStep(breaker: CircuitBreaker): Promise<void> {
  const hold = setInterval(() => {}, 1_000);
  if (!breaker.sharing) await new Promise<void>((resolve) => breaker.onSharing(() => resolve()));
  clearInterval(hold);
}

/** This thread's CPU time per call of each, in microseconds, so that a busy machine does not count: the median over rounds in which all take their turn. */
async function contest(
  contestants: Readonly<Record<string, () => Promise<unknown>>>,
  calls: number,
  rounds: number,
): Promise<Readonly<Record<string, number>>> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  // One round more, which is not counted: the compiler's.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, call] of Object.entries(contestants)) {
      const began = process.threadCpuUsage();
      for (let made = 0; made < calls; made++) await call();
      const { user, system } = process.threadCpuUsage(began);
      if (round > 0) times[name]!.push((user + system) / calls);
      // The shared breaker's exchange gets its turn as it would in a service.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, percentile(values, 0.5)]));
}

function trip(breaker: CircuitBreaker): void {
  for (let permit = breaker.tryAcquire(); permit.admitted; permit = breaker.tryAcquire()) permit.fail();
}

if (import.meta.main) console.log(await run());
