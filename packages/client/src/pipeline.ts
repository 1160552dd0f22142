import { type Clock, HoldfastError, type Logger, type Random, rateLimitedLogger } from "@holdfast/core";
import type { BreakerGate } from "./breaker-gate.ts";
import { Call } from "./call.ts";
import { CallMetrics } from "./call-metrics.ts";
import type { AttemptScope, Exchange } from "./exchange.ts";
import { type ResolvedSettings, type ResolvedTarget, resolveSettings, type TargetSettings } from "./options.ts";
import { type RetryBudget, retryBudget } from "./retry-budget.ts";

export interface CallOptions {
  /** The caller's own. */
  signal?: AbortSignal | undefined;
  /** A deadline of this call alone, in milliseconds: shortens the target's. */
  deadlineMs?: number | undefined;
}

/** What the calls of one target share, whatever their transport. */
export class Pipeline {
  readonly name: string;
  readonly breaker: BreakerGate | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly budget: RetryBudget;
  readonly metrics: CallMetrics;
  readonly logger: Logger;
  /** Wakes the calls that wait between attempts. */
  readonly waiting: Set<() => void> = new Set();
  #settings: ResolvedSettings;
  #closed = false;

  constructor(target: ResolvedTarget, settings: TargetSettings) {
    this.name = target.name;
    this.breaker = target.breaker;
    this.clock = target.clock;
    this.random = target.random;
    this.#settings = resolveSettings(settings);
    this.budget = retryBudget({
      ratio: this.#settings.retry.budgetRatio,
      minRetriesPerSecond: this.#settings.retry.minRetriesPerSecond,
    });
    this.logger = rateLimitedLogger(target.logger, { clock: target.clock });
    this.metrics = new CallMetrics(target.name);
  }

  get settings(): ResolvedSettings {
    return this.#settings;
  }

  get closed(): boolean {
    return this.#closed;
  }

  call<T>(exchange: Exchange<T>, options: CallOptions = {}): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new HoldfastError("TARGET_CLOSED", `target ${this.name} was closed`));
    }
    if (this.#settings.mode === "off") return this.#pass(exchange, options.signal);
    return new Call(this, exchange, options).run();
  }

  /** Only the transport; but its errors keep their types, so that nothing breaks when a target is switched off. */
  async #pass<T>(exchange: Exchange<T>, signal: AbortSignal | undefined): Promise<T> {
    try {
      return await exchange.send(new Unguarded(signal));
    } catch (error) {
      throw signal?.aborted ? error : exchange.errorFor(error);
    }
  }

  reconfigure(settings: TargetSettings): void {
    this.#settings = resolveSettings(settings, this.#settings);
    const { budgetRatio, minRetriesPerSecond } = this.#settings.retry;
    this.budget.reconfigure({ ratio: budgetRatio, minRetriesPerSecond });
  }

  close(): void {
    this.#closed = true;
    for (const wake of this.waiting) wake();
  }
}

/** The one attempt of a call that nothing guards. */
class Unguarded implements AttemptScope {
  readonly attempt = 1;
  readonly limitMs: number = Number.POSITIVE_INFINITY;
  readonly trace = undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get signal(): AbortSignal {
    return this.#signal ?? new AbortController().signal;
  }

  callRemainingMs(): number {
    return Number.POSITIVE_INFINITY;
  }
}
