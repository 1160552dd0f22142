interface Step {
  atMs: number;
  calls: number;
  failures: number;
}

export interface BaselineOptions {
  /** After this time of calm a call counts half, in milliseconds. */
  halfLifeMs: number;
  /** How long a step waits before it counts, in milliseconds: an incident is seen only some time after it began. */
  quarantineMs: number;
}

/**
 * What an edge usually fails at: a slow average that stands still in an incident. The steps of the time just before one
 * was noticed are thrown away with it.
 */
export class Baseline {
  readonly #halfLifeMs: number;
  readonly #quarantineMs: number;
  readonly #waiting: Step[] = [];
  #calls = 0;
  #failures = 0;
  #admittedAtMs: number | undefined;

  constructor({ halfLifeMs, quarantineMs }: BaselineOptions) {
    this.#halfLifeMs = halfLifeMs;
    this.#quarantineMs = quarantineMs;
  }

  /** The share of failures, and the calls that it weighs by now; undefined before the first. */
  get estimate(): { ratio: number; calls: number } | undefined {
    return this.#calls > 0 ? { ratio: this.#failures / this.#calls, calls: this.#calls } : undefined;
  }

  /** Takes what happened since the last step. In an incident: nothing of it, and nothing of what still waits. */
  step(nowMs: number, calls: number, failures: number, anomalous: boolean): void {
    if (anomalous) {
      this.#waiting.length = 0;
      this.#admittedAtMs = undefined;
      return;
    }
    this.#waiting.push({ atMs: nowMs, calls, failures });
    while (this.#waiting.length > 0 && nowMs - this.#waiting[0]!.atMs >= this.#quarantineMs)
      this.#admit(this.#waiting.shift()!);
  }

  #admit(step: Step): void {
    const elapsedMs = this.#admittedAtMs === undefined ? 0 : step.atMs - this.#admittedAtMs;
    const kept = 2 ** (-elapsedMs / this.#halfLifeMs);
    this.#calls = this.#calls * kept + step.calls;
    this.#failures = this.#failures * kept + step.failures;
    this.#admittedAtMs = step.atMs;
  }
}
