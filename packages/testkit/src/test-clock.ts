import type { Clock, Timer } from "@holdfast/core";

interface Pending {
  dueMs: number;
  order: number;
  run: () => void;
}

/** 2026-01-01T00:00:00Z: where every test clock's wall starts, so that a printed time is the same in each run. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * A clock that stands still until it is told to move. Timers run on `monotonic()`, as real ones do: a jump of the wall
 * clock neither fires nor delays them.
 */
export class TestClock implements Clock {
  #monotonicMs = 0;
  #wallOffsetMs: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** @param startMs what `now()` says at first, in milliseconds since the epoch. Default 2026-01-01T00:00:00Z. */
  constructor(startMs: number = EPOCH_MS) {
    this.#wallOffsetMs = startMs;
  }

  now(): number {
    return this.#wallOffsetMs + this.#monotonicMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, run: () => void): Timer {
    if (!(delayMs >= 0 && Number.isFinite(delayMs))) throw new RangeError(`delayMs must be 0 or more, not ${delayMs}`);
    const pending: Pending = { dueMs: this.#monotonicMs + delayMs, order: this.#order++, run };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** How many timers wait: 0 after a close() that left nothing behind. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  /** When the next timer is due, in milliseconds from now; undefined when none waits. */
  get nextTimerMs(): number | undefined {
    const next = this.#next(Number.POSITIVE_INFINITY);
    return next && next.dueMs - this.#monotonicMs;
  }

  /**
   * Moves time on by `ms` and runs the timers due on the way, in order, each at its own moment; also those that they
   * start. Synchronous: promises settled by a timer are seen by their awaiters only after this returns.
   */
  advance(ms: number): void {
    const endMs = this.#end(ms);
    for (let due = this.#next(endMs); due; due = this.#next(endMs)) this.#fire(due);
    this.#monotonicMs = endMs;
  }

  /**
   * Like `advance`, but lets every promise chain run dry before the first timer, after each, and at the end: for code
   * that awaits between its timers. Waits for microtasks and one turn of the event loop, never for real time.
   */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#end(ms);
    await turn();
    for (let due = this.#next(endMs); due; due = this.#next(endMs)) {
      this.#fire(due);
      await turn();
    }
    this.#monotonicMs = endMs;
  }

  /** Moves the wall clock alone, forwards or back, as NTP or an operator does. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  #end(ms: number): number {
    if (!(ms >= 0 && Number.isFinite(ms))) throw new RangeError(`ms must be 0 or more, not ${ms}`);
    return this.#monotonicMs + ms;
  }

  #next(untilMs: number): Pending | undefined {
    let next: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.dueMs > untilMs) continue;
      if (!next || pending.dueMs < next.dueMs || (pending.dueMs === next.dueMs && pending.order < next.order)) {
        next = pending;
      }
    }
    return next;
  }

  #fire(due: Pending): void {
    this.#pending.delete(due);
    // advanceAsync yields, so another advance may have moved time beyond this timer already.
    this.#monotonicMs = Math.max(this.#monotonicMs, due.dueMs);
    due.run();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
