import { type Clock, type Logger, messageOf, type StorySink, type StorySpan, sleep, type Timer } from "@holdfast/core";

/** What happens together is told together. */
const GATHER_MS = 100;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const MOST_UNTOLD = 256;

/** Tells spans of this process's own incident as they come, again and again until the sink takes them. */
export class Storyteller {
  readonly #sink: StorySink;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onTold: (spanIds: string[]) => void;
  #untold: StorySpan[] = [];
  #timer: Timer | null = null;
  #exporting: Promise<boolean> | null = null;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(sink: StorySink, clock: Clock, logger: Logger, onTold: (spanIds: string[]) => void) {
    this.#sink = sink;
    this.#clock = clock;
    this.#logger = logger;
    this.#onTold = onTold;
  }

  tell(...spans: StorySpan[]): void {
    if (this.#closed) return;
    this.#untold.push(...spans);
    const tooMany = this.#untold.length - MOST_UNTOLD;
    if (tooMany > 0) {
      this.#untold.splice(0, tooMany);
      this.#logger.warn({ dropped: tooMany }, "spans of an incident were dropped: the sink takes none");
    }
    this.#schedule(GATHER_MS);
  }

  /** Tells everything now. @returns whether the sink took it all within `budgetMs` */
  async flush(budgetMs: number): Promise<boolean> {
    this.#timer?.cancel();
    this.#timer = null;
    const timeUp = new AbortController();
    const late = sleep(this.#clock, budgetMs, timeUp.signal).then(
      () => false,
      () => false,
    );
    const attempt = async (): Promise<boolean> => {
      await this.#exporting;
      return this.#export();
    };
    const told = await Promise.race([attempt(), late]);
    timeUp.abort();
    return told;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#closed || this.#timer || this.#exporting) return;
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = null;
      void this.#export();
    });
  }

  /** Never rejects. */
  #export(): Promise<boolean> {
    if (this.#untold.length === 0) return Promise.resolve(true);
    const spans = this.#untold;
    this.#untold = [];
    const run = async (): Promise<boolean> => {
      try {
        await this.#sink.exportSpans(spans);
        this.#retryMs = FIRST_RETRY_MS;
        this.#onTold(spans.map((span) => span.spanId));
        return true;
      } catch (error) {
        this.#untold = [...spans, ...this.#untold];
        this.#logger.warn({ error: messageOf(error), spans: spans.length }, "an incident could not be told yet");
        return false;
      }
    };
    this.#exporting = run().then((told) => {
      this.#exporting = null;
      if (this.#untold.length > 0) {
        this.#schedule(told ? GATHER_MS : this.#retryMs);
        if (!told) this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
      }
      return told;
    });
    return this.#exporting;
  }
}
