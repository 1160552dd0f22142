import { LogHistogram } from "./log-histogram.ts";
import { Rolling } from "./rolling.ts";

/** A sender's clock may be anywhere; nobody's telemetry is honestly later than this. */
const LONGEST_MS = 120_000;

/**
 * How late telemetry arrives: the time from a span's end, or from one export of an instance's metrics to the next, to
 * its arrival here. It is the loop's dead time, which a cooldown must outlast.
 */
export class TelemetryDelay {
  readonly #spans: Rolling<LogHistogram>;
  readonly #exports: Rolling<LogHistogram>;
  readonly #lastExport = new Map<string, number>();

  constructor(windowMs: number) {
    this.#spans = new Rolling(windowMs, () => new LogHistogram());
    this.#exports = new Rolling(windowMs, () => new LogHistogram());
  }

  /** @param delayMs wall clock here less the span's end; what a skewed clock makes of it is cut */
  span(delayMs: number, nowMs: number): void {
    this.#spans.at(nowMs).record(Math.min(LONGEST_MS, Math.max(0, delayMs)));
  }

  /** An instance exported its metrics. */
  metrics(instance: string, nowMs: number): void {
    const last = this.#lastExport.get(instance);
    if (last === nowMs) return;
    if (last === undefined && this.#lastExport.size >= MOST_INSTANCES) this.#lastExport.clear();
    this.#lastExport.set(instance, nowMs);
    if (last !== undefined && nowMs - last < LONGEST_MS) this.#exports.at(nowMs).record(nowMs - last);
  }

  /** The 95th percentile of the later kind, in milliseconds; 0 when nothing came. */
  p95(nowMs: number): number {
    return Math.max(this.#spans.total(nowMs).quantile(0.95), this.exportGap(nowMs));
  }

  /** Time between two exports of an instance's metrics, the 95th percentile, in milliseconds. */
  exportGap(nowMs: number): number {
    return this.#exports.total(nowMs).quantile(0.95);
  }
}

const MOST_INSTANCES = 10_000;
