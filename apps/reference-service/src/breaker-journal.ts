import type { BreakerSnapshot, CircuitBreaker, Logger, Transition } from "@holdfast/sdk";

/** The native breaker and a shared opossum breaker alike. */
type Watchable = Pick<CircuitBreaker, "onTransition" | "snapshot">;

const KEPT_TRANSITIONS = 100;

/** Logs each transition of the breakers it watches, and keeps the last ones for operators. */
export class BreakerJournal {
  readonly transitions: Transition[] = [];
  readonly #logger: Logger;
  readonly #breakers: Watchable[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  watch(breaker: Watchable): void {
    this.#breakers.push(breaker);
    breaker.onTransition((transition) => {
      this.transitions.push(transition);
      if (this.transitions.length > KEPT_TRANSITIONS) this.transitions.shift();
      const { breaker: name, from, to, origin, generation, atMs, decidedAtMs } = transition;
      this.#logger.info({ breaker: name, from, to, origin, generation, atMs, decidedAtMs }, "breaker transition");
    });
  }

  snapshots(): BreakerSnapshot[] {
    return this.#breakers.map((breaker) => breaker.snapshot());
  }
}
