import type { Clock, Random, Timer } from "@holdfast/core";
import { deliver, type Exporter } from "./delivery.ts";

export interface ExportQueueOptions<T> {
  exporter: Pick<Exporter<T[]>, "export">;
  clock: Clock;
  random: Random;
  /** How many items are held at most, waiting or being sent. Default 8_192. */
  maxItems?: number | undefined;
  /** How many items one request carries at most. Default 512. */
  maxBatch?: number | undefined;
  /** How long an item waits for company, in milliseconds. Default 1_000. */
  delayMs?: number | undefined;
  /** How many requests are under way at once. Default 4. */
  concurrency?: number | undefined;
  /** How long a batch is sent again after a failure that may pass, in milliseconds. Default 60_000. */
  retryForMs?: number | undefined;
  onRetry?: ((error: Error) => void) | undefined;
  onLoss?: ((count: number, error: Error) => void) | undefined;
}

/** Sums: added = exported + failed + dropped + what is still held. */
export interface QueueCounts {
  added: number;
  exported: number;
  failed: number;
  dropped: number;
}

interface Batch<T> {
  items: T[];
  /** Settles when the batch is delivered or given up. Never rejects. */
  done: Promise<void>;
}

/**
 * Holds a bounded number of finished things, sends them in batches, and knows what became of each one.
 *
 * OpenTelemetry's own batch processors drop silently, do not repeat a failed request, and resolve their flush while
 * requests are under way; a clean stop that is checked against counts needs none of that to happen.
 */
export class ExportQueue<T> {
  readonly #exporter: Pick<Exporter<T[]>, "export">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #maxItems: number;
  readonly #maxBatch: number;
  readonly #delayMs: number;
  readonly #concurrency: number;
  readonly #retryForMs: number;
  readonly #onRetry: ((error: Error) => void) | undefined;
  readonly #onLoss: ((count: number, error: Error) => void) | undefined;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Batch<T>>();
  #waiting: T[] = [];
  #sending = 0;
  #timer: Timer | undefined;
  #closed = false;
  #counts: QueueCounts = { added: 0, exported: 0, failed: 0, dropped: 0 };

  constructor(options: ExportQueueOptions<T>) {
    this.#exporter = options.exporter;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#maxItems = options.maxItems ?? 8_192;
    this.#maxBatch = Math.min(options.maxBatch ?? 512, this.#maxItems);
    this.#delayMs = options.delayMs ?? 1_000;
    this.#concurrency = options.concurrency ?? 4;
    this.#retryForMs = options.retryForMs ?? 60_000;
    this.#onRetry = options.onRetry;
    this.#onLoss = options.onLoss;
  }

  counts(): QueueCounts {
    return { ...this.#counts };
  }

  add(item: T): void {
    this.#counts.added++;
    if (this.#closed || this.#waiting.length + this.#sending >= this.#maxItems) {
      this.#counts.dropped++;
      return;
    }
    this.#waiting.push(item);
    if (this.#waiting.length >= this.#maxBatch) this.#pump(this.#maxBatch);
    this.#arm();
  }

  /** Sends all that waits and resolves when that, and what was under way, is delivered or given up. */
  async flush(): Promise<void> {
    // More requests at once than `concurrency`, but no more than the queue's bound allows.
    while (this.#waiting.length > 0) this.#start();
    await Promise.all(Array.from(this.#underWay, (batch) => batch.done));
  }

  /**
   * Sends what is there and what still comes, then closes; at the deadline at the latest. What was not confirmed by then
   * counts as failed, what was not sent as dropped.
   */
  async close(deadlineMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closing.abort();
    let timer: Timer | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = this.#clock.after(deadlineMs, () => {
        this.#closed = true;
        resolve();
      });
    });
    while (!this.#closed && this.#waiting.length + this.#sending > 0) await Promise.race([this.flush(), deadline]);
    this.#closed = true;
    timer?.cancel();
    this.#timer?.cancel();
    for (const batch of this.#underWay) this.#settle(batch, new Error("not confirmed before the deadline"));
    this.#counts.dropped += this.#waiting.length;
    this.#waiting = [];
  }

  #arm(): void {
    if (this.#timer || this.#waiting.length === 0 || this.#underWay.size >= this.#concurrency) return;
    this.#timer = this.#clock.after(this.#delayMs, () => {
      this.#timer = undefined;
      this.#pump(1);
    });
  }

  #pump(least: number): void {
    while (this.#waiting.length >= least && this.#underWay.size < this.#concurrency) this.#start();
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const items = this.#waiting.splice(0, this.#maxBatch);
    this.#sending += items.length;
    const batch: Batch<T> = { items, done: Promise.resolve() };
    this.#underWay.add(batch);
    batch.done = deliver(this.#exporter, items, {
      clock: this.#clock,
      random: this.#random,
      retryForMs: this.#retryForMs,
      hurry: this.#closing.signal,
      onRetry: this.#onRetry,
    }).then((error) => {
      this.#settle(batch, error);
      this.#pump(this.#maxBatch);
      this.#arm();
    });
  }

  #settle(batch: Batch<T>, error: Error | undefined): void {
    // False when the deadline had given the batch up before its answer came: it is counted already.
    if (!this.#underWay.delete(batch)) return;
    const { length } = batch.items;
    this.#sending -= length;
    if (error) {
      this.#counts.failed += length;
      this.#onLoss?.(length, error);
    } else this.#counts.exported += length;
  }
}
