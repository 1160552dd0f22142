import { TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { scanLogs, scanMetrics, scanTraces } from "../otlp/index.ts";
import { logsRequest, metricsRequest, type TestPoint, type TestSpan, tracesRequest } from "../testing/otlp-writer.ts";
import { isWantedMetric, Observer, wantedResource, wantedSpan } from "./observer.ts";

const wanted = { resource: wantedResource, span: wantedSpan, metric: isWantedMetric };

class Feed {
  readonly clock = new TestClock();
  readonly observer: Observer = new Observer({ clock: this.clock, windowMs: 10_000 });

  spans(service: string, spans: readonly TestSpan[]): void {
    this.observer.spans(scanTraces(tracesRequest({ "service.name": service }, spans), wanted).records);
  }

  points(service: string, instance: string, points: readonly TestPoint[]): void {
    const resource = { "service.name": service, "service.instance.id": instance };
    this.observer.points(scanMetrics(metricsRequest(resource, points), wanted).records);
  }
}

const ledger = { "holdfast.target": "ledger" };

describe("the observer", () => {
  it("keeps attempts by edge and incoming calls by service, and nothing of other spans", () => {
    const feed = new Feed();
    feed.spans("payments", [
      { kind: 3, attributes: ledger, durationMs: 20 },
      { kind: 3, attributes: ledger, durationMs: 5, status: 2 },
      { kind: 3, attributes: {} },
      { kind: 1, attributes: ledger },
      { kind: 2, durationMs: 40 },
    ]);
    const edge = feed.observer.edge("payments", "ledger")!.window.total(0);
    expect([edge.calls, edge.failures]).toEqual([2, 1]);
    expect(edge.latency.quantile(0.5)).toBeCloseTo(20, -1);
    expect([...feed.observer.edges.entries()].length).toBe(1);
    expect(feed.observer.services.get("payments")!.window.total(0).calls).toBe(1);
  });

  it("remembers traces that show failures and successes, for a while", () => {
    const feed = new Feed();
    feed.spans("payments", [{ kind: 3, attributes: ledger, status: 2, spanId: "00000000000000aa" }]);
    feed.spans("payments", [{ kind: 3, attributes: ledger, spanId: "00000000000000bb" }]);
    const { exemplars } = feed.observer.edge("payments", "ledger")!;
    expect(exemplars.since(0).map(({ spanId }) => spanId)).toEqual(["00000000000000aa", "00000000000000bb"]);
    expect(exemplars.since(1)).toEqual([]);
  });

  it("knows the worst state that a breaker was reported in lately, and what it rejected", () => {
    const feed = new Feed();
    const rejections = (value: number): TestPoint => ({
      metric: "holdfast.breaker.rejections",
      kind: "sum",
      value,
      integer: true,
      attributes: ledger,
    });
    feed.points("payments", "p-1", [{ metric: "holdfast.breaker.state", value: 2, attributes: ledger }, rejections(5)]);
    feed.points("payments", "p-2", [{ metric: "holdfast.breaker.state", value: 0, attributes: ledger }]);
    const edge = feed.observer.edge("payments", "ledger")!;
    expect(edge.breakerState(0)).toBe("open");
    feed.clock.advance(1_000);
    feed.points("payments", "p-1", [
      { metric: "holdfast.breaker.state", value: 1, attributes: ledger },
      rejections(12),
    ]);
    expect(edge.breakerState(0)).toBe("half-open");
    expect(edge.breakerState(1_001)).toBeUndefined();
    expect(edge.rejections.total(1_000).sum).toBe(7);
  });

  it("keeps each instance's pool: its size, waits and use, from cumulative histograms", () => {
    const feed = new Feed();
    const report = (waitS: number, count: number): void => {
      const common = { count, attributes: ledger, timeMs: feed.clock.now() };
      feed.points("ledger", "l-1", [
        { metric: "holdfast.pool.size", value: 4, integer: true, attributes: ledger },
        { metric: "holdfast.pool.pending", value: 3, attributes: ledger },
        { metric: "holdfast.pool.wait.duration", kind: "histogram", value: waitS, ...common },
        {
          metric: "holdfast.pool.use.duration",
          kind: "exponential",
          value: waitS * 2,
          ...common,
        },
      ]);
    };
    report(1, 10);
    feed.clock.advance(1_000);
    report(3, 20);
    const [member] = feed.observer.pool("ledger", "ledger")!.members(0, 1_000);
    expect(member).toEqual({
      instance: "l-1",
      size: 4,
      inUse: 0,
      pending: 3,
      waits: 10,
      waitMeanMs: 200,
      uses: 10,
      usesPerSecond: 10,
      useMeanMs: 400,
    });
  });

  it("counts who echoes a version or a later one, among those that are alive", () => {
    const feed = new Feed();
    const echo = (instance: string, epoch: number, version: number): void =>
      feed.points("payments", instance, [
        {
          metric: "holdfast.policy.version",
          value: version,
          attributes: { ...ledger, "holdfast.policy.layer": "controller", "holdfast.policy.epoch": epoch },
        },
        {
          metric: "holdfast.policy.version",
          value: 99,
          attributes: { ...ledger, "holdfast.policy.layer": "file", "holdfast.policy.epoch": 0 },
        },
      ]);
    echo("p-1", 7, 3);
    echo("p-2", 7, 4);
    echo("p-3", 8, 1);
    const fleet = feed.observer.fleet("payments")!;
    expect(fleet.live(0)).toBe(3);
    expect(fleet.echoing("ledger", { epoch: 7, version: 4 }, 0)).toBe(2);
    expect(fleet.echoing("ledger", { epoch: 7, version: 3 }, 0)).toBe(3);
    feed.clock.advance(5_000);
    echo("p-1", 8, 1);
    expect(fleet.echoing("ledger", { epoch: 8, version: 1 }, 1)).toBe(1);
    expect(fleet.live(1)).toBe(1);
  });

  it("measures how late spans come and how often metrics do", () => {
    const feed = new Feed();
    feed.spans("payments", [{ kind: 2, startMs: feed.clock.now() - 3_000, durationMs: 1_000 }]);
    expect(feed.observer.delay.p95(0)).toBeCloseTo(2_000, -3);
    for (let i = 0; i < 4; i++) {
      feed.points("payments", "p-1", [{ metric: "holdfast.breaker.state", value: 0, attributes: ledger }]);
      feed.clock.advance(5_000);
    }
    expect(feed.observer.delay.exportGap(15_000)).toBeGreaterThan(4_500);
    expect(feed.observer.delay.exportGap(15_000)).toBeLessThan(5_600);
  });

  it("stays small whatever names arrive, and says how many it left out", () => {
    const feed = new Feed();
    for (let i = 0; i < 3_000; i++) feed.spans(`made-up-${i}`, [{ kind: 3, attributes: ledger }, { kind: 2 }]);
    expect(feed.observer.edges.size).toBe(1_000);
    expect(feed.observer.services.size).toBe(500);
    expect(feed.observer.refusedNames).toBe(2_000 + 2_500);
    feed.clock.advance(400_000);
    feed.observer.sweep();
    expect(feed.observer.edges.size).toBe(0);
  });

  it("counts lines that are errors", () => {
    const feed = new Feed();
    feed.observer.logs(scanLogs(logsRequest({ "service.name": "ledger" }, [9, 17, 21]), wanted).records);
    expect(feed.observer.services.get("ledger")!.logErrors).toBe(2);
  });
});
