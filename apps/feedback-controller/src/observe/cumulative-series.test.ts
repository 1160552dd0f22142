import { describe, expect, it } from "vitest";
import type { PointRecord } from "../otlp/index.ts";
import { CumulativeSeries } from "./cumulative-series.ts";

function point(temporality: 0 | 1 | 2, value: number, count: number, startMs = 1): PointRecord {
  const resource = { attribute: () => undefined, encoded: { format: "json" as const, bytes: new Uint8Array(0) } };
  const common = { resource, metric: "m", kind: "histogram" as const, attributes: new Map<string, string>() };
  return { ...common, temporality, startMs, timeMs: 3, value, count };
}

describe("cumulative series", () => {
  it("say nothing at their first point, and then what was added", () => {
    const series = new CumulativeSeries(10, 1_000);
    expect(series.increase("k", point(2, 5, 10), 0)).toBeUndefined();
    expect(series.increase("k", point(2, 8, 12), 1)).toEqual({ value: 3, count: 2, spanMs: 0 });
    expect(series.increase("k", point(2, 8, 12), 2)).toEqual({ value: 0, count: 0, spanMs: 0 });
  });

  it("count in full after a restart, told by the start or by a count that fell", () => {
    const series = new CumulativeSeries(10, 1_000);
    series.increase("k", point(2, 5, 10), 0);
    expect(series.increase("k", point(2, 6, 11, 9), 1)).toEqual({ value: 6, count: 11, spanMs: 0 });
    expect(series.increase("k", point(2, 1, 2, 9), 2)).toEqual({ value: 1, count: 2, spanMs: 0 });
  });

  it("take deltas as they are, and nothing whose temporality is unknown", () => {
    const series = new CumulativeSeries(10, 1_000);
    expect(series.increase("k", point(1, 5, 10), 0)).toEqual({ value: 5, count: 10, spanMs: 2 });
    expect(series.increase("k", point(0, 5, 10), 0)).toBeUndefined();
  });

  it("tell in what time it was added", () => {
    const series = new CumulativeSeries(10, 1_000);
    series.increase("k", { ...point(2, 5, 10), timeMs: 1_000 }, 0);
    expect(series.increase("k", { ...point(2, 5, 30), timeMs: 3_000 }, 1)!.spanMs).toBe(2_000);
  });

  it("are bounded: a newcomer finds no room until somebody has been idle", () => {
    const series = new CumulativeSeries(2, 1_000);
    for (const key of ["a", "b", "c"]) series.increase(key, point(2, 1, 1), 0);
    expect([series.size, series.refused]).toEqual([2, 1]);
    series.increase("b", point(2, 1, 1), 1_500);
    series.increase("c", point(2, 1, 1), 1_500);
    expect([series.size, series.refused]).toEqual([2, 1]);
  });
});
