import type { Logger } from "@holdfast/sdk";

/** What every breaker tells of a change of its state. */
interface Transition {
  readonly breaker: string;
  readonly from: string;
  readonly to: string;
  /** "local" when this instance decided, "fleet" when it heard of it. */
  readonly origin: string;
  readonly generation: number;
  /** When this instance moved, in milliseconds since the epoch. */
  readonly atMs: number;
  /** When the store decided, by its own clock. */
  readonly decidedAtMs?: number | undefined;
}

/** The native breaker and a shared opossum breaker alike. */
interface Watchable {
  onTransition(listener: (transition: Transition) => void): () => void;
  snapshot(): unknown;
}

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

  snapshots(): unknown[] {
    return this.#breakers.map((breaker) => breaker.snapshot());
  }
}
