import type { PointRecord } from "../otlp/index.ts";
import { BoundedMap } from "./bounded-map.ts";

interface Last {
  startMs: number;
  value: number;
  count: number;
  usedAtMs: number;
}

export interface Increase {
  value: number;
  count: number;
}

/**
 * Turns sums and histograms into what was added since their last point, whatever temporality the sender chose.
 *
 * The first point of a cumulative series says nothing: it may hold a week. A series that starts anew (the process was
 * restarted, "Resets and Gaps" in the Metrics Data Model) counts in full.
 */
export class CumulativeSeries {
  readonly #last: BoundedMap<Last>;

  constructor(limit: number, idleMs: number) {
    this.#last = new BoundedMap(limit, idleMs);
  }

  get size(): number {
    return this.#last.size;
  }

  get refused(): number {
    return this.#last.refused;
  }

  /** @returns undefined when nothing can be said */
  increase(key: string, point: PointRecord, nowMs: number): Increase | undefined {
    if (point.temporality !== 2)
      return point.temporality === 1 ? { value: point.value, count: point.count } : undefined;
    let isNew = false;
    const last = this.#last.use(key, nowMs, () => {
      isNew = true;
      return { startMs: 0, value: 0, count: 0, usedAtMs: 0 };
    });
    if (last === undefined) return undefined;
    const { startMs, value, count } = last;
    last.startMs = point.startMs;
    last.value = point.value;
    last.count = point.count;
    if (isNew) return undefined;
    if (point.startMs > startMs || point.count < count || point.value < value)
      return { value: point.value, count: point.count };
    return { value: point.value - value, count: point.count - count };
  }

  sweep(nowMs: number): void {
    this.#last.sweep(nowMs);
  }
}
