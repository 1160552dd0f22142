/** The largest value of the last so many milliseconds: shrinking follows the peaks, not the moment. */
export class RecentMax {
  readonly #horizonMs: number;
  /** Falling values by rising time: what a later, larger value hides is gone. */
  readonly #peaks: { atMs: number; value: number }[] = [];
  #firstAtMs: number | undefined;

  constructor(horizonMs: number) {
    this.#horizonMs = horizonMs;
  }

  add(value: number, nowMs: number): void {
    this.#firstAtMs ??= nowMs;
    while (this.#peaks.length > 0 && this.#peaks.at(-1)!.value <= value) this.#peaks.pop();
    this.#peaks.push({ atMs: nowMs, value });
    while (nowMs - this.#peaks[0]!.atMs > this.#horizonMs) this.#peaks.shift();
  }

  /** Undefined until a whole horizon was watched. */
  value(nowMs: number): number | undefined {
    if (this.#firstAtMs === undefined || nowMs - this.#firstAtMs < this.#horizonMs) return undefined;
    return this.#peaks[0]?.value;
  }
}
