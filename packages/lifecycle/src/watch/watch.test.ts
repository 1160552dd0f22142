import { TestClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import type { LifecycleState } from "../lifecycle-state.ts";
import type { Anomaly, Beat, Incident } from "../recorder/record-types.ts";
import type { WatchReport } from "./messages.ts";
import { SharedStatus } from "./shared-status.ts";
import { WATCH_EVERY_MS, Watch, type WatchOptions } from "./watch.ts";

/** The machine's clock has run for a while when a process starts. */
const UP_MS = 1_000_000;

let clock: TestClock;
let status: FakeStatus;
let reports: WatchReport[];
let written: { beat?: Beat; incident?: Incident | null; anomalies: Map<number, Anomaly> };
let killed: number;
let ids: number;

/** The main thread's word, with a heartbeat that the test's clock drives. */
class FakeStatus extends SharedStatus {
  beatMs = UP_MS;
  override get heartbeatMs(): number {
    return this.beatMs;
  }
}

function watchWith(options: Partial<WatchOptions> = {}): Watch {
  return new Watch({
    service: "watched",
    instance: "watched-1",
    livenessStallMs: 10_000,
    readinessStallMs: 1_000,
    status,
    incident: null,
    record: {
      beat: (beat) => {
        written.beat = beat;
      },
      incident: (incident) => {
        written.incident = incident;
      },
      anomaly: (slot, anomaly) => void written.anomalies.set(slot, anomaly),
      close: () => {},
    },
    send: (report) => reports.push(report),
    nowMs: () => clock.now(),
    machineMs: () => UP_MS + clock.monotonic(),
    ids: { traceId: () => `trace-${++ids}`, spanId: () => `span-${++ids}` },
    kill: () => {
      killed++;
    },
    ...options,
  });
}

/** Lets time pass, with a look every 100 ms, and a heartbeat with each unless the main thread is blocked. */
function pass(watch: Watch, ms: number, blocked = false): void {
  for (let passed = 0; passed < ms; passed += WATCH_EVERY_MS) {
    clock.advance(WATCH_EVERY_MS);
    if (!blocked) status.beatMs = UP_MS + clock.monotonic();
    watch.tick();
  }
}

beforeEach(() => {
  clock = new TestClock();
  status = new FakeStatus();
  status.state = "ready" satisfies LifecycleState;
  reports = [];
  written = { anomalies: new Map() };
  killed = 0;
  ids = 0;
});

const anomalies = () => reports.flatMap((report) => (report.type === "anomaly" ? [report.anomaly] : []));

describe("watch", () => {
  it("opens one incident for a stall and the probes that fail in it, with the stall as root", () => {
    const watch = watchWith();
    pass(watch, 500);
    const stalledAtMs = clock.now();
    pass(watch, 1_500, true);
    expect(watch.answer("/readyz")).toMatchObject({ status: 503 });
    expect(watch.answer("/livez")).toMatchObject({ status: 200 });
    expect(written.anomalies.get(0)).toMatchObject({ kind: "stall", startMs: stalledAtMs });
    expect(written.anomalies.get(0)!.endMs).toBeUndefined();
    pass(watch, 100);
    const [probe, stall] = anomalies();
    expect(stall).toMatchObject({ kind: "stall", parentSpanId: undefined, startMs: stalledAtMs });
    expect(stall!.endMs).toBeGreaterThan(stalledAtMs + 1_400);
    expect(probe).toMatchObject({ kind: "probe", path: "/readyz", failures: 1, traceId: stall!.traceId });
    expect(probe!.parentSpanId).toBe(stall!.spanId);
    expect(written.incident).toMatchObject({ traceId: stall!.traceId, rootSpanId: stall!.spanId, openedBy: "stall" });
  });

  it("fails liveness only after the long threshold", () => {
    const watch = watchWith();
    pass(watch, 10_000, true);
    expect(watch.answer("/livez").status).toBe(200);
    pass(watch, 200, true);
    expect(watch.answer("/livez")).toMatchObject({ status: 503 });
    expect(written.beat).toMatchObject({ stallMs: 10_200, state: "ready" });
  });

  it("does not blame the main thread for a time in which it did not run itself", () => {
    const watch = watchWith();
    pass(watch, 500);
    clock.advance(60_000);
    expect(watch.answer("/livez").status).toBe(200);
    expect(watch.answer("/readyz").status).toBe(200);
    pass(watch, 1_200, true);
    expect(watch.answer("/readyz").status).toBe(503);
  });

  it("takes a long start for no incident", () => {
    status.state = "starting";
    const watch = watchWith();
    pass(watch, 5_000, true);
    expect(watch.answer("/readyz").status).toBe(503);
    expect(watch.answer("/livez").status).toBe(200);
    expect(written.incident).toBeUndefined();
  });

  it("closes an incident after ten healthy probes in a row, and the next anomaly opens another", () => {
    const watch = watchWith({ incident: { traceId: "old", rootSpanId: "root", openedAtMs: 0, openedBy: "death" } });
    pass(watch, 200);
    for (let probes = 0; probes < 9; probes++) watch.answer("/livez");
    status.criticalFailing = 1;
    watch.command({ type: "checks", checks: [{ name: "db", critical: true, status: "failing" }] });
    expect(watch.answer("/readyz").status).toBe(503);
    status.criticalFailing = 0;
    expect(anomalies()[0]).toMatchObject({ traceId: "old", parentSpanId: "root" });
    for (let probes = 0; probes < 9; probes++) watch.answer("/readyz");
    expect(written.incident).not.toBeNull();
    watch.answer("/readyz");
    expect(written.incident).toBeNull();
    pass(watch, 1_500, true);
    expect(written.incident!.traceId).not.toBe("old");
  });

  it("closes an incident after five healthy minutes when nobody probes", () => {
    const watch = watchWith({ incident: { traceId: "old", rootSpanId: "root", openedAtMs: 0, openedBy: "death" } });
    pass(watch, 299_000);
    expect(written.incident).not.toBeNull();
    pass(watch, 1_200);
    expect(written.incident).toBeNull();
  });

  it("makes what goes wrong in a shutdown part of its trace", () => {
    status.state = "draining";
    const watch = watchWith();
    watch.command({ type: "shutdown", traceId: "rollout", spanId: "shutdown" });
    pass(watch, 1_500, true);
    expect(written.anomalies.get(0)).toMatchObject({ traceId: "rollout", parentSpanId: "shutdown" });
    expect(written.incident).toMatchObject({ traceId: "rollout", rootSpanId: "shutdown" });
  });

  it("writes ever fewer spans while probes go on failing for hours, and remembers which were told", () => {
    status.criticalFailing = 1;
    const watch = watchWith();
    watch.command({ type: "checks", checks: [{ name: "db", critical: true, status: "failing", reason: "refused" }] });
    for (let probes = 0; probes < 1_000; probes++) watch.answer("/readyz");
    // The first 16, then 32, 64, 128, 256 and 512.
    expect(anomalies().map((anomaly) => anomaly.failures)).toEqual([
      ...Array.from({ length: 16 }, (_, index) => index + 1),
      32,
      64,
      128,
      256,
      512,
    ]);
    watch.command({ type: "told", spanIds: anomalies().map((anomaly) => anomaly.spanId) });
    expect([...written.anomalies.values()].every((anomaly) => anomaly.told)).toBe(true);
  });

  it("ends the process when a shutdown has passed its deadline, and not before", () => {
    const watch = watchWith();
    status.killAtMs = UP_MS + 1_000;
    pass(watch, 1_000);
    expect(killed).toBe(0);
    pass(watch, 100);
    expect(killed).toBe(1);
  });

  it("gathers the durations of probes and reports them once a second", () => {
    const watch = watchWith();
    for (let probes = 0; probes < 600; probes++) watch.measured({ path: "/livez", ok: true, durationMs: 1 });
    pass(watch, 1_000);
    const batches = reports.flatMap((report) => (report.type === "probes" ? [report.probes] : []));
    expect(batches.map((batch) => batch.length)).toEqual([500]);
  });
});
