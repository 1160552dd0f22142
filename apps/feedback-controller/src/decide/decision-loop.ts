import {
  type Clock,
  HoldfastError,
  type Logger,
  messageOf,
  rateLimitedLogger,
  type StorySink,
  type Timer,
} from "@holdfast/core";
import type { OverrideStore, Policy } from "@holdfast/policy";
import type { Component } from "../component.ts";
import { edgeKey, type Observer } from "../observe/observer.ts";
import type { DecisionStore } from "../store/decision-store.ts";
import type { Decision } from "./decision.ts";
import { EdgeTuner, type TuningView } from "./edge-tuner.ts";
import { OverrideBook } from "./override-book.ts";
import type { DecisionSettings } from "./settings.ts";
import { SignalReader } from "./signals.ts";
import { Teller } from "./teller.ts";

export interface DecisionLoopOptions {
  policy: Policy;
  settings: DecisionSettings;
  observer: Observer;
  store: OverrideStore;
  audit: DecisionStore<Decision>;
  sink: StorySink;
  component: Component;
  /** Who writes, for the people who read it. */
  author: string;
  clock: Clock;
  logger: Logger;
}

/** Looks at every edge and pool in turn, again and again, and lets each be tuned. */
export class DecisionLoop {
  readonly #options: DecisionLoopOptions;
  readonly #troubles: Logger;
  readonly #signals: SignalReader;
  readonly #teller: Teller;
  readonly #tuners = new Map<string, EdgeTuner>();
  /** A later start has a later term, also when the store forgot the one before. */
  readonly #epoch: number;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: DecisionLoopOptions) {
    this.#options = options;
    // A store that is away is met again at every look.
    this.#troubles = rateLimitedLogger(options.logger, { clock: options.clock });
    this.#signals = new SignalReader(options.observer, options.settings);
    this.#teller = new Teller(options);
    this.#epoch = Math.floor(options.clock.now() / 1_000);
  }

  start(): void {
    this.#options.component.ok();
    this.#schedule();
  }

  /** What became of an edge at the last look. */
  view(service: string, target: string): TuningView | undefined {
    return this.#tuners.get(edgeKey(service, target))?.view;
  }

  /** One look at everything. Never rejects. */
  async tick(): Promise<void> {
    const { observer, component } = this.#options;
    observer.sweep();
    let failure: unknown;
    for (const tuner of this.#current()) {
      if (this.#closed) return;
      try {
        await tuner.tick();
      } catch (error) {
        failure = error;
        const fields = { service: tuner.service, target: tuner.target, error: messageOf(error) };
        this.#troubles.warn(fields, "an edge could not be looked at");
      }
    }
    if (failure === undefined) component.ok();
    else if (HoldfastError.is(failure) && failure.code === "CONTROLLER_REPLACED") component.permanent(failure);
    else component.recoverable(failure);
  }

  /** Ends after the look that is under way, and after what it tells was delivered. */
  async close(): Promise<void> {
    this.#options.component.stopping();
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
    await this.#teller.settle();
    this.#options.component.stopped();
  }

  #schedule(): void {
    const { clock, settings } = this.#options;
    this.#timer = clock.after(settings.intervalMs, () => {
      this.#running = this.tick().then(() => {
        if (!this.#closed) this.#schedule();
      });
    });
  }

  /** A tuner for every edge and pool that the policy knows; those of edges that are gone are let go. */
  #current(): EdgeTuner[] {
    const { observer, policy } = this.#options;
    const seen = new Map<string, { service: string; target: string }>();
    for (const [key, edge] of observer.edges.entries()) seen.set(key, edge);
    for (const [key, pool] of observer.pools.entries()) seen.set(key, pool);
    for (const key of this.#tuners.keys()) if (!seen.has(key)) this.#tuners.delete(key);
    for (const [key, { service, target }] of seen) {
      if (!policy.targets.has(target) || this.#tuners.has(key)) continue;
      this.#tuners.set(key, this.#tuner(service, target));
    }
    return [...this.#tuners.values()];
  }

  #tuner(service: string, target: string): EdgeTuner {
    const { policy, observer, settings, store, author, clock, logger } = this.#options;
    const id = { namespace: policy.namespace, service, target };
    const book = new OverrideBook({ store, id, author, epoch: this.#epoch, ttlMs: settings.overrideTtlMs, clock });
    const signals = this.#signals;
    return new EdgeTuner({ policy, observer, signals, settings, book, teller: this.#teller, clock, logger });
  }
}
