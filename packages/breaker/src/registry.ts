import { type Logger, numberOption, rateLimitedLogger, silentLogger } from "@holdfast/core";
import { type BreakerOptions, CircuitBreaker } from "./circuit-breaker.ts";

export interface BreakerRegistryOptions extends Omit<BreakerOptions, "name"> {
  /** Breakers kept at once, so that names made up at run time cannot fill the memory. Default 1_000, from 1 to 100_000. */
  maxBreakers?: number | undefined;
}

/** Makes breakers by name, once each, with common defaults. */
export class BreakerRegistry implements AsyncDisposable {
  readonly #defaults: Omit<BreakerOptions, "name">;
  readonly #maxBreakers: number;
  readonly #logger: Logger;
  /** In the order of their last use. */
  readonly #breakers = new Map<string, CircuitBreaker>();
  #overflow: CircuitBreaker | undefined;
  #overflows = 0;

  constructor(options: BreakerRegistryOptions = {}) {
    const { maxBreakers, ...defaults } = options;
    this.#defaults = defaults;
    this.#maxBreakers = numberOption("maxBreakers", maxBreakers, 1_000, { min: 1, max: 100_000, integer: true });
    this.#logger = rateLimitedLogger(options.logger ?? silentLogger, { clock: options.clock });
  }

  get size(): number {
    return this.#breakers.size;
  }

  /** How often a name found no place: its calls went through a breaker that is off. */
  get overflows(): number {
    return this.#overflows;
  }

  /**
   * The breaker of this name, made now if there is none. Options count when it is made; `reconfigure` changes it later.
   * When the registry is full the longest unused closed breaker makes room; where none is closed, a breaker that is off
   * and shared by all such names is returned, and counted.
   */
  breaker(name: string, options: Omit<BreakerOptions, "name"> = {}): CircuitBreaker {
    const known = this.#breakers.get(name);
    if (known) {
      this.#breakers.delete(name);
      this.#breakers.set(name, known);
      return known;
    }
    if (this.#breakers.size >= this.#maxBreakers && !this.#evict()) return this.#beyond(name);
    const breaker = new CircuitBreaker({ ...this.#defaults, ...options, name });
    this.#breakers.set(name, breaker);
    return breaker;
  }

  [Symbol.iterator](): MapIterator<CircuitBreaker> {
    return this.#breakers.values();
  }

  /** Closes every breaker. The store is the caller's. */
  async close(): Promise<void> {
    const breakers = [...this.#breakers.values()];
    this.#breakers.clear();
    await Promise.all(breakers.map((breaker) => breaker.close()));
    await this.#overflow?.close();
    this.#overflow = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #evict(): boolean {
    for (const [name, breaker] of this.#breakers) {
      if (breaker.state !== "closed") continue;
      this.#breakers.delete(name);
      void breaker.close();
      return true;
    }
    return false;
  }

  #beyond(name: string): CircuitBreaker {
    this.#overflows++;
    this.#logger.warn(
      { breaker: name, maxBreakers: this.#maxBreakers },
      "no room for another breaker: its calls are not protected",
    );
    this.#overflow ??= new CircuitBreaker({ name: "overflow", mode: "off", scope: "instance" });
    return this.#overflow;
  }
}

/** Makes a registry: breakers by name, with common defaults such as store and identity. */
export function createBreakers(options: BreakerRegistryOptions = {}): BreakerRegistry {
  return new BreakerRegistry(options);
}
