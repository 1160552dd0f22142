/** A flood of made-up names asks for room each time: looking through the whole map for each would be its amplifier. */
const SWEEP_EVERY_MS = 1_000;

/**
 * A map that holds at most `limit` entries. Names come from outside: when it is full, idle entries are given up for
 * newcomers, and if there are none the newcomer is refused. Both are counted.
 */
export class BoundedMap<Value extends { usedAtMs: number }> {
  readonly #limit: number;
  readonly #idleMs: number;
  readonly #entries = new Map<string, Value>();
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  #refused = 0;
  #evicted = 0;

  /** @param idleMs how long an entry must have been unused to be given up for another */
  constructor(limit: number, idleMs: number) {
    this.#limit = limit;
    this.#idleMs = idleMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Newcomers that found no place. */
  get refused(): number {
    return this.#refused;
  }

  /** Entries given up for others, or as idle. */
  get evicted(): number {
    return this.#evicted;
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }

  /** The entry, made if there is room, and marked as used. */
  use(key: string, nowMs: number, make: () => Value): Value | undefined {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.usedAtMs = nowMs;
      return known;
    }
    if (this.#entries.size >= this.#limit && !this.#makeRoom(nowMs)) {
      this.#refused++;
      return undefined;
    }
    const made = make();
    made.usedAtMs = nowMs;
    this.#entries.set(key, made);
    return made;
  }

  entries(): IterableIterator<[string, Value]> {
    return this.#entries.entries();
  }

  values(): IterableIterator<Value> {
    return this.#entries.values();
  }

  /** Gives up everything that has been idle for `idleMs`. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (nowMs - entry.usedAtMs < this.#idleMs) continue;
      this.#entries.delete(key);
      this.#evicted++;
    }
  }

  #makeRoom(nowMs: number): boolean {
    if (nowMs - this.#sweptAtMs < SWEEP_EVERY_MS) return false;
    this.#sweptAtMs = nowMs;
    this.sweep(nowMs);
    return this.#entries.size < this.#limit;
  }
}
