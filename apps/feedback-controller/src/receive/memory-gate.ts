import { type Clock, systemClock } from "@holdfast/core";

export interface MemoryGateOptions {
  /** Bytes of requests that may be in work at a time. */
  maxInFlightBytes: number;
  /** Resident memory of the process above which nothing more is taken. */
  maxRssBytes: number;
  /** Default: the process's own. */
  rss?: (() => number) | undefined;
  clock?: Clock | undefined;
}

/** Asking the kernel costs microseconds; memory does not grow by much in this time. */
const RSS_EVERY_MS = 100;

/**
 * Says before anything is decompressed or decoded whether there is room for it. Who is turned away comes again: the
 * answer is a retryable one.
 */
export class MemoryGate {
  readonly #maxInFlightBytes: number;
  readonly #maxRssBytes: number;
  readonly #rss: () => number;
  readonly #clock: Clock;
  #inFlight = 0;
  #lastRss = 0;
  #lastRssAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: MemoryGateOptions) {
    this.#maxInFlightBytes = options.maxInFlightBytes;
    this.#maxRssBytes = options.maxRssBytes;
    this.#rss = options.rss ?? (() => process.memoryUsage.rss());
    this.#clock = options.clock ?? systemClock;
  }

  get inFlightBytes(): number {
    return this.#inFlight;
  }

  /** Why nothing more is taken; undefined when there is room for `bytes`, which are counted from then on. */
  take(bytes: number): string | undefined {
    if (this.#inFlight + bytes > this.#maxInFlightBytes) return "too many bytes are in flight";
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#lastRssAtMs >= RSS_EVERY_MS) {
      this.#lastRss = this.#rss();
      this.#lastRssAtMs = nowMs;
    }
    if (this.#lastRss > this.#maxRssBytes) return "the process is near its memory limit";
    this.#inFlight += bytes;
    return undefined;
  }

  give(bytes: number): void {
    this.#inFlight -= bytes;
  }
}
