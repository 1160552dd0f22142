import type { SpanReference } from "@holdfast/core";

/** How many of each kind are kept. A decision links to a few traces that show why; more nobody opens. */
const KEPT = 3;
/** Writing ids down costs more than counting; ten a second are as good as all. */
const EVERY_MS = 100;

interface Kind {
  kept: { reference: SpanReference; atMs: number }[];
  lastAtMs: number;
}

/** References to the latest calls that failed and the latest that did not. */
export class Exemplars {
  readonly #failed: Kind = { kept: [], lastAtMs: Number.NEGATIVE_INFINITY };
  readonly #succeeded: Kind = { kept: [], lastAtMs: Number.NEGATIVE_INFINITY };

  record(span: { readonly traceId: string; readonly spanId: string }, failed: boolean, nowMs: number): void {
    const kind = failed ? this.#failed : this.#succeeded;
    if (nowMs - kind.lastAtMs < EVERY_MS) return;
    const { traceId, spanId } = span;
    if (traceId.length !== 32 || spanId.length !== 16) return;
    kind.lastAtMs = nowMs;
    kind.kept.push({ reference: { traceId, spanId }, atMs: nowMs });
    if (kind.kept.length > KEPT) kind.kept.shift();
  }

  /** Those seen since `sinceMs`, failures first. */
  since(sinceMs: number): SpanReference[] {
    return [...this.#failed.kept, ...this.#succeeded.kept]
      .filter((one) => one.atMs >= sinceMs)
      .map((one) => one.reference);
  }
}
