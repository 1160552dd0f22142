import type { Clock, Random, StoryAttributes, StorySink, StorySpan } from "@holdfast/core";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { deliver, type Exporter } from "./delivery.ts";
import type { StoryCounts } from "./telemetry.ts";
import { toldSpans } from "./told-span.ts";

export interface OtlpStorySinkOptions {
  /** Its own: a story must not queue behind a service's spans. */
  exporter: Pick<Exporter<ReadableSpan[]>, "export">;
  /** The resource of spans that bring none. */
  resource: StoryAttributes;
  clock: Clock;
  random: Random;
}

/** How long a story is sent again before its teller hears that it was not delivered. It may keep the record and retry. */
const RETRY_FOR_MS = 5_000;

/** Delivers told spans over OTLP and confirms it. `counts` says what became of them. */
export class OtlpStorySink implements StorySink {
  readonly #options: OtlpStorySinkOptions;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #counts: StoryCounts = { delivered: 0, failed: 0 };

  constructor(options: OtlpStorySinkOptions) {
    this.#options = options;
  }

  counts(): StoryCounts {
    return { ...this.#counts };
  }

  async exportSpans(spans: readonly StorySpan[]): Promise<void> {
    if (spans.length === 0) return;
    const { exporter, resource, clock, random } = this.#options;
    const batch = toldSpans(spans, resource);
    const delivery = deliver(exporter, batch, { clock, random, retryForMs: RETRY_FOR_MS, hurry: this.#closing.signal });
    this.#underWay.add(delivery);
    const error = await delivery;
    this.#underWay.delete(delivery);
    if (error) {
      this.#counts.failed += spans.length;
      throw error;
    }
    this.#counts.delivered += spans.length;
  }

  /** Resolves when what is under way is settled, which does not take long once this was called. */
  async drain(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#underWay);
  }
}
