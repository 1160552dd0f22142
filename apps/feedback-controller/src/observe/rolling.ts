import { LogHistogram } from "./log-histogram.ts";

/** How finely a window rolls: it forgets a tenth of itself at a time. */
const SLOTS = 10;

/** What can be summed over a window: emptied, and added to another of its kind. */
export interface Summable {
  clear(): void;
  add(other: this): void;
}

/**
 * A window that rolls over time in ten slots. What it sums is at least nine tenths of the window old at the back, and
 * never older than the window.
 */
export class Rolling<Sum extends Summable> {
  readonly #slotMs: number;
  readonly #slots: { sum: Sum; turn: number }[];
  readonly #make: () => Sum;

  constructor(windowMs: number, make: () => Sum) {
    this.#slotMs = windowMs / SLOTS;
    this.#make = make;
    this.#slots = Array.from({ length: SLOTS }, () => ({ sum: make(), turn: -1 }));
  }

  /** The slot of this moment, to add to. `nowMs` is monotonic and never goes back. */
  at(nowMs: number): Sum {
    const turn = Math.floor(nowMs / this.#slotMs);
    const slot = this.#slots[turn % SLOTS]!;
    if (slot.turn !== turn) {
      slot.sum.clear();
      slot.turn = turn;
    }
    return slot.sum;
  }

  /** Everything in the window that ends now. */
  total(nowMs: number): Sum {
    const turn = Math.floor(nowMs / this.#slotMs);
    const total = this.#make();
    for (const slot of this.#slots) if (slot.turn > turn - SLOTS && slot.turn <= turn) total.add(slot.sum);
    return total;
  }
}

/** Calls, failures and the latency of what succeeded. Weighted ones stand for those that sampling left out. */
export class CallTally implements Summable {
  calls = 0;
  failures = 0;
  /** Spans that were seen, and those of them that failed: what an estimate may lean on. */
  samples = 0;
  failedSamples = 0;
  /** Of calls that succeeded: what fails fast must not look like speed. */
  readonly latency: LogHistogram = new LogHistogram();

  record(durationMs: number, failed: boolean, weight: number): void {
    this.calls += weight;
    this.samples++;
    if (failed) {
      this.failures += weight;
      this.failedSamples++;
    } else this.latency.record(durationMs, weight);
  }

  clear(): void {
    this.calls = 0;
    this.failures = 0;
    this.samples = 0;
    this.failedSamples = 0;
    this.latency.clear();
  }

  add(other: CallTally): void {
    this.calls += other.calls;
    this.failures += other.failures;
    this.samples += other.samples;
    this.failedSamples += other.failedSamples;
    this.latency.add(other.latency);
  }
}

/** A sum of values and their number: the mean is exact however the sender chose its buckets. */
export class MeanTally implements Summable {
  sum = 0;
  count = 0;
  /** The time in which they came about, by the sender's clock: a rate from it does not hang on when exports arrive. */
  spanMs = 0;

  record(sum: number, count: number, spanMs = 0): void {
    this.sum += sum;
    this.count += count;
    this.spanMs += spanMs;
  }

  clear(): void {
    this.sum = 0;
    this.count = 0;
    this.spanMs = 0;
  }

  add(other: MeanTally): void {
    this.sum += other.sum;
    this.count += other.count;
    this.spanMs += other.spanMs;
  }

  get mean(): number {
    return this.count > 0 ? this.sum / this.count : 0;
  }

  /** How many a second. */
  get perSecond(): number {
    return this.spanMs > 0 ? (this.count * 1_000) / this.spanMs : 0;
  }
}

/** How much of a window `Rolling` holds at a moment: nine slots, and as much of the tenth as has gone by. */
export function coveredMs(windowMs: number, nowMs: number): number {
  const slotMs = windowMs / SLOTS;
  return windowMs - slotMs + (nowMs % slotMs);
}
