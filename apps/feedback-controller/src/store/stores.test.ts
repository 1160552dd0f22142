import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, TestClock } from "@holdfast/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { readTracesJson, scanTraces } from "../otlp/index.ts";
import { type TestSpan, tracesRequest } from "../testing/otlp-writer.ts";
import { openDatabase } from "./database.ts";
import { DecisionStore } from "./decision-store.ts";
import { TraceSampler } from "./trace-sampler.ts";
import { TraceStore } from "./trace-store.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-controller-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const wanted = { resource: new Set(["service.name"]), span: new Set<string>() };

function store(options: { maxTraces?: number; maxBytes?: number; spansPerSecond?: number; file?: string } = {}) {
  const { maxTraces = 100, maxBytes = 1e9, spansPerSecond = 1e6, file = ":memory:" } = options;
  const clock = new TestClock();
  const traces = new TraceStore({ database: openDatabase(file), clock, maxTraces, maxBytes, spansPerSecond });
  const keep = (spans: readonly TestSpan[], service = "payments"): void => {
    const body = tracesRequest({ "service.name": service }, spans);
    traces.keep(scanTraces(body, wanted).records, body.length);
  };
  return { clock, traces, keep };
}

function id(number: number, digits: number): string {
  return (number + 1).toString(16).padStart(digits, "0");
}

describe("the trace store", () => {
  it("gives back whole spans, from several services, in the order of their starts", () => {
    const { traces, keep } = store();
    keep(
      [{ traceId: id(1, 32), spanId: id(2, 16), parentSpanId: id(1, 16), name: "child", startMs: 2_000, status: 2 }],
      "ledger",
    );
    keep([
      {
        traceId: id(1, 32),
        spanId: id(1, 16),
        name: "root",
        kind: 2,
        startMs: 1_000,
        durationMs: 5,
        attributes: { a: 1 },
      },
    ]);
    expect(traces.list(10)).toEqual([
      {
        traceId: id(1, 32),
        rootService: "payments",
        rootName: "root",
        startMs: 1_000,
        durationMs: 1_010,
        spans: 2,
        errors: 1,
      },
    ]);
    expect(traces.read(id(1, 32))).toMatchObject([
      {
        service: "payments",
        name: "root",
        kind: "server",
        status: "unset",
        attributes: { a: 1 },
        resource: { "service.name": "payments" },
      },
      { service: "ledger", name: "child", status: "error", parentSpanId: id(1, 16) },
    ]);
    expect(traces.read(id(9, 32))).toEqual([]);
  });

  it("keeps spans that came as JSON too", () => {
    const { traces } = store();
    const span = {
      traceId: id(1, 32),
      spanId: id(1, 16),
      name: "GET",
      attributes: [{ key: "a", value: { intValue: "1" } }],
    };
    const body = Buffer.from(JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }));
    traces.keep(readTracesJson(body, wanted).records, body.length);
    expect(traces.read(id(1, 32))).toMatchObject([{ name: "GET", attributes: { a: 1 } }]);
  });

  it("counts a span once, however often it is sent", () => {
    const { traces, keep } = store();
    for (let i = 0; i < 3; i++) {
      keep([{ traceId: id(1, 32), spanId: id(1, 16) }]);
      traces.flush();
    }
    expect(traces.list(1)[0]!.spans).toBe(1);
  });

  it("gives up the oldest traces first, by number and by bytes", () => {
    for (const limits of [{ maxTraces: 20 }, { maxBytes: 2_000 }]) {
      const { traces, keep, clock } = store(limits);
      for (let i = 0; i < 100; i++) {
        keep([{ traceId: id(i, 32), spanId: id(i, 16) }]);
        traces.flush();
        clock.advance(1);
      }
      const kept = traces.list(1_000).map(({ traceId }) => traceId);
      expect(kept.length).toBeGreaterThan(5);
      expect(kept.length).toBeLessThanOrEqual("maxTraces" in limits ? 20 : 40);
      expect(traces.counts.bytes).toBeLessThanOrEqual(2_000);
      expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => id(99 - i, 32)));
      expect(traces.counts.traces).toBe(kept.length);
    }
  });

  it("leaves out ids that are none, spans that are too large, and the end of a trace without one", () => {
    const { traces, keep } = store();
    keep([{ traceId: "00".repeat(16) }, { traceId: "ab" }, { spanId: "00".repeat(8) }]);
    keep([{ traceId: id(1, 32), attributes: { huge: "x".repeat(70_000) } }]);
    keep(Array.from({ length: 2_500 }, (_, i) => ({ traceId: id(2, 32), spanId: id(i, 16) })));
    traces.flush();
    expect(traces.list(10)).toMatchObject([{ traceId: id(2, 32), spans: 2_000 }]);
    expect(traces.counts.leftOut).toBe(3 + 1 + 500);
  });

  it("is still there after a restart, in a file that only its owner may read", () => {
    const file = join(directory, "own", "traces.sqlite");
    const first = store({ file });
    first.keep([{ traceId: id(1, 32), name: "kept" }]);
    first.traces.flush();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const second = store({ file });
    expect(second.traces.counts.traces).toBe(1);
    expect(second.traces.read(id(1, 32))[0]!.name).toBe("kept");
  });

  it("is refused a file that is something else, by name", () => {
    const file = join(directory, "letter.txt");
    writeFileSync(file, "Dear Sir or Madam, ".repeat(100));
    expect(() => openDatabase(file)).toThrow(new RegExp(`the data file ${file} cannot be used \\(--data\\)`));
  });
});

describe("the trace sampler", () => {
  it("keeps whole traces and about so many spans a second, whatever comes", () => {
    const sampler = new TraceSampler(100);
    const random = seededRandom(3);
    const decided = new Map<string, boolean>();
    let kept = 0;
    for (let second = 0; second < 10; second++) {
      for (let i = 0; i < 5_000; i++) {
        const traceId = id(Math.floor(random() * 2 ** 32), 32);
        const keeps = sampler.keeps(traceId, second * 1_000 + i / 5);
        if (second > 1) {
          const before = decided.get(traceId);
          if (before !== undefined) expect(keeps).toBe(before);
          decided.set(traceId, keeps);
          if (keeps) kept++;
        }
      }
    }
    expect(kept / 8).toBeGreaterThan(80);
    expect(kept / 8).toBeLessThan(120);
  });
});

describe("the decision store", () => {
  it("keeps the latest decisions, and what is known of each by now", () => {
    const decisions = new DecisionStore<{ id: string; atMs: number; state: string }>(openDatabase(":memory:"), 3);
    for (let i = 0; i < 5; i++) decisions.save({ id: `d${i}`, atMs: i, state: "written" });
    decisions.save({ id: "d3", atMs: 3, state: "judged" });
    expect(decisions.list(10)).toEqual([
      { id: "d4", atMs: 4, state: "written" },
      { id: "d3", atMs: 3, state: "judged" },
      { id: "d2", atMs: 2, state: "written" },
    ]);
    expect(decisions.list(1).length).toBe(1);
  });
});
