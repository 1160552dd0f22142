import { Exemplars } from "./exemplars.ts";
import { CallTally, MeanTally, Rolling } from "./rolling.ts";

/** What a breaker was last seen to be, by its gauge: 0 closed, 1 half-open, 2 open. */
export type BreakerState = "closed" | "half-open" | "open";

/** One service's calls to one target, as its attempt spans and breaker metrics tell them. */
export class Edge {
  readonly service: string;
  readonly target: string;
  readonly window: Rolling<CallTally>;
  readonly exemplars: Exemplars = new Exemplars();
  /** Calls that an open breaker refused. */
  readonly rejections: Rolling<MeanTally>;
  /** Since the start, by spans: what a slow baseline takes its steps from. */
  samples = 0;
  failedSamples = 0;
  usedAtMs = 0;
  readonly #breakers = new Map<string, { state: BreakerState; atMs: number }>();

  constructor(service: string, target: string, windowMs: number) {
    this.service = service;
    this.target = target;
    this.window = new Rolling(windowMs, () => new CallTally());
    this.rejections = new Rolling(windowMs, () => new MeanTally());
  }

  attempt(durationMs: number, failed: boolean, weight: number, nowMs: number): void {
    this.window.at(nowMs).record(durationMs, failed, weight);
    this.samples++;
    if (failed) this.failedSamples++;
  }

  breaker(instance: string, value: number, nowMs: number): void {
    const state = value >= 2 ? "open" : value >= 1 ? "half-open" : "closed";
    // Instances come and go under new names; those that live report again at once.
    if (this.#breakers.size >= MOST_INSTANCES) this.#breakers.clear();
    this.#breakers.set(instance, { state, atMs: nowMs });
  }

  /** The worst that an instance reported since `sinceMs`; undefined when none did. */
  breakerState(sinceMs: number): BreakerState | undefined {
    let worst: BreakerState | undefined;
    for (const { state, atMs } of this.#breakers.values())
      if (atMs >= sinceMs && (worst === undefined || RANK[state] > RANK[worst])) worst = state;
    return worst;
  }
}

const RANK: Readonly<Record<BreakerState, number>> = { closed: 0, "half-open": 1, open: 2 };

/** Instances of one service that are told apart. */
const MOST_INSTANCES = 1_000;
