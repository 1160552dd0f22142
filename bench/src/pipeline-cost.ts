import { CircuitBreaker, memoryStore } from "@holdfast/breaker";
import { createTarget } from "@holdfast/client";
import {
  circuitBreaker,
  ExponentialBackoff,
  handleAll,
  retry,
  SamplingBreaker,
  TimeoutStrategy,
  timeout,
  wrap,
} from "cockatiel";
import type { BarResult } from "./bar.ts";

export interface PipelineCostOptions {
  /** Calls of one round. Default 50_000. */
  calls?: number | undefined;
  /** Rounds of each contestant, taken in turn, the median of which counts. Default 9. */
  rounds?: number | undefined;
}

/**
 * What a whole call costs around an async function that does nothing, no OpenTelemetry SDK registered: deadline, retry
 * with budget, breaker shared through a store, attempt timeout; beside cockatiel's retry, breaker and timeout.
 */
export async function run(options: PipelineCostOptions = {}): Promise<BarResult> {
  const { calls = 50_000, rounds = 9 } = options;
  await using breaker = new CircuitBreaker({ name: "bench", mode: "enforce", store: memoryStore() });
  await using target = createTarget({ name: "bench", mode: "enforce", breaker });
  const policy = wrap(
    retry(handleAll, { maxAttempts: 2, backoff: new ExponentialBackoff() }),
    circuitBreaker(handleAll, {
      halfOpenAfter: 10_000,
      breaker: new SamplingBreaker({ threshold: 0.5, duration: 10_000 }),
    }),
    timeout(2_000, TimeoutStrategy.Aggressive),
  );
  const nothing = async (): Promise<void> => {};
  const contestants: readonly (() => Promise<unknown>)[] = [
    nothing,
    () => target.run(nothing),
    () => policy.execute(nothing),
  ];
  const times = contestants.map((): number[] => []);
  // One round more, which is not counted: the compiler's.
  for (let round = 0; round <= rounds; round++) {
    for (const [index, call] of contestants.entries()) {
      const each = await microsecondsPerCall(call, calls);
      if (round > 0) times[index]!.push(each);
    }
  }
  const [bare, holdfast, cockatiel] = times.map(median) as [number, number, number];
  return {
    name: "pipeline-cost",
    bar: "",
    figures: {
      "a bare await, us": bare,
      "target.run, us": holdfast,
      "cockatiel, us": cockatiel,
      "target.run / cockatiel": holdfast / cockatiel,
      "target.run, bytes allocated a call": await bytesPerCall(contestants[1]!, calls),
      "cockatiel, bytes allocated a call": await bytesPerCall(contestants[2]!, calls),
    },
  };
}

async function microsecondsPerCall(call: () => Promise<unknown>, calls: number): Promise<number> {
  const began = performance.now();
  for (let made = 0; made < calls; made++) await call();
  return ((performance.now() - began) * 1_000) / calls;
}

/** Growth of the heap between two collections of the young generation: few enough calls fit in between. */
async function bytesPerCall(call: () => Promise<unknown>, calls: number): Promise<number> {
  const samples: number[] = [];
  const batch = 200;
  for (let made = 0; made < calls; made += batch) {
    const before = process.memoryUsage().heapUsed;
    for (let each = 0; each < batch; each++) await call();
    const grown = process.memoryUsage().heapUsed - before;
    // A collection in between makes it shrink.
    if (grown > 0) samples.push(grown / batch);
  }
  return median(samples);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
