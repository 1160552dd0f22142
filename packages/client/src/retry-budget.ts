import { numberOption } from "@holdfast/core";

export interface RetryBudgetOptions {
  /** Retries allowed as a share of the calls of the last ten seconds. Default 0.2, from 0 to 1. */
  ratio?: number | undefined;
  /** Retries a second that are allowed however few calls there are. Default 10, from 0 to 10_000. */
  minRetriesPerSecond?: number | undefined;
}

/**
 * Keeps retries a bounded share of the calls, so that an outage is not answered with a multiple of the load. Reads no
 * clock: every method is told the time in milliseconds, from any fixed moment on and never going back.
 */
export interface RetryBudget {
  /** One call was made. Retries are not calls. */
  deposit(nowMs: number): void;
  /** Takes one retry out of the budget. @returns whether there was one left */
  withdraw(nowMs: number): boolean;
  /** Retries left. A fraction is one that is still being saved for. */
  balance(nowMs: number): number;
  /** Changes the terms. The calls and retries of the last ten seconds stay on the books. */
  reconfigure(options: RetryBudgetOptions): void;
}

/** How long a call counts, and over which the reserve is handed out: Finagle's own choice. */
const TTL_MS = 10_000;
const SLOTS = 10;
const SLOT_MS = TTL_MS / SLOTS;

/** Ratios are decimal fractions: five calls at 0.2 are one retry, not 0.9999999999999999. */
const ROUNDING = 1e-9;

/**
 * The retry budget of Finagle (`com.twitter.finagle.service.RetryBudget`): each call deposits `ratio` of a retry, each
 * retry withdraws one, deposits and withdrawals expire after ten seconds, and a reserve of `minRetriesPerSecond` times
 * ten seconds is there from the start, so that a quiet target may retry at all.
 *
 * @throws RangeError naming the option and the value, when one is out of range
 */
export function retryBudget(options: RetryBudgetOptions = {}): RetryBudget {
  return new WindowedBudget(options);
}

interface Terms {
  ratio: number;
  reserve: number;
}

function resolve(options: RetryBudgetOptions): Terms {
  const ratio = numberOption("ratio", options.ratio, 0.2, { min: 0, max: 1 });
  const perSecond = numberOption("minRetriesPerSecond", options.minRetriesPerSecond, 10, { min: 0, max: 10_000 });
  return { ratio, reserve: perSecond * (TTL_MS / 1_000) };
}

/** A ring of counters stamped with their slot's number. Advanced by the time it is told, never by a timer. */
class WindowedBudget implements RetryBudget {
  #terms: Terms;
  readonly #calls: number[] = Array.from({ length: SLOTS }, () => 0);
  readonly #retries: number[] = Array.from({ length: SLOTS }, () => 0);
  #callsInWindow = 0;
  #retriesInWindow = 0;
  #newestSlot = Number.NEGATIVE_INFINITY;

  constructor(options: RetryBudgetOptions) {
    this.#terms = resolve(options);
  }

  deposit(nowMs: number): void {
    this.#calls[this.#slot(nowMs)]!++;
    this.#callsInWindow++;
  }

  withdraw(nowMs: number): boolean {
    if (this.balance(nowMs) < 1 - ROUNDING) return false;
    this.#retries[this.#slot(nowMs)]!++;
    this.#retriesInWindow++;
    return true;
  }

  balance(nowMs: number): number {
    this.#slot(nowMs);
    const { ratio, reserve } = this.#terms;
    return this.#callsInWindow * ratio + reserve - this.#retriesInWindow;
  }

  reconfigure(options: RetryBudgetOptions): void {
    this.#terms = resolve(options);
  }

  #slot(nowMs: number): number {
    const slot = Math.floor(nowMs / SLOT_MS);
    if (slot > this.#newestSlot) this.#advance(slot);
    return ((this.#newestSlot % SLOTS) + SLOTS) % SLOTS;
  }

  #advance(slot: number): void {
    const steps = Math.min(SLOTS, slot - this.#newestSlot);
    this.#newestSlot = slot;
    for (let step = 0; step < steps; step++) {
      const expired = (((slot - step) % SLOTS) + SLOTS) % SLOTS;
      this.#callsInWindow -= this.#calls[expired]!;
      this.#retriesInWindow -= this.#retries[expired]!;
      this.#calls[expired] = 0;
      this.#retries[expired] = 0;
    }
  }
}
