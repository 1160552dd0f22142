import type { PointRecord } from "../otlp/index.ts";
import { BoundedMap } from "./bounded-map.ts";

interface Last {
  startMs: number;
  timeMs: number;
  value: number;
  count: number;
  usedAtMs: number;
}

export interface Increase {
  value: number;
  count: number;
  /** The time in which it came about, in milliseconds, by the sender's clock. */
  spanMs: number;
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
    if (point.temporality !== 2) return point.temporality === 1 ? whole(point) : undefined;
    let isNew = false;
    const last = this.#last.use(key, nowMs, () => {
      isNew = true;
      return { startMs: 0, timeMs: 0, value: 0, count: 0, usedAtMs: 0 };
    });
    if (last === undefined) return undefined;
    const { startMs, timeMs, value, count } = last;
    last.startMs = point.startMs;
    last.timeMs = point.timeMs;
    last.value = point.value;
    last.count = point.count;
    if (isNew) return undefined;
    if (point.startMs > startMs || point.count < count || point.value < value) return whole(point);
    const spanMs = Math.max(0, point.timeMs - timeMs);
    return { value: point.value - value, count: point.count - count, spanMs };
  }

  sweep(nowMs: number): void {
    this.#last.sweep(nowMs);
  }
}

function whole({ value, count, startMs, timeMs }: PointRecord): Increase {
  return { value, count, spanMs: startMs > 0 ? Math.max(0, timeMs - startMs) : 0 };
}
