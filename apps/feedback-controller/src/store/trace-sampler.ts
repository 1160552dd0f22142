/**
 * Chooses whole traces, so that about so many spans a second are kept: a trace's id decides, and with it all of its
 * spans alike. The share follows the rate of the second before; whatever comes in, no second keeps more than twice the
 * budget.
 */
export class TraceSampler {
  readonly #spansPerSecond: number;
  #share = 1;
  #seen = 0;
  #kept = 0;
  #sinceMs = 0;

  constructor(spansPerSecond: number) {
    this.#spansPerSecond = spansPerSecond;
  }

  /** The share of traces that is kept at the moment, above 0 and up to 1. */
  get share(): number {
    return this.#share;
  }

  /** @param traceId 32 hex digits; its last ones are random (W3C Trace Context, level 2, "random-trace-id") */
  keeps(traceId: string, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs >= 1_000) {
      const perSecond = (this.#seen * 1_000) / elapsedMs;
      this.#share = Math.min(1, this.#spansPerSecond / Math.max(1, perSecond));
      this.#seen = 0;
      this.#kept = 0;
      this.#sinceMs = nowMs;
    }
    this.#seen++;
    if (this.#kept >= 2 * this.#spansPerSecond) return false;
    if (this.#share < 1 && Number.parseInt(traceId.slice(-8), 16) >= this.#share * 2 ** 32) return false;
    this.#kept++;
    return true;
  }
}
