import { once } from "node:events";
import { createServer } from "node:net";
import { jsonLogger, type LiveSpan, type SpanReference } from "@holdfast/core";
import { freePort } from "@holdfast/testkit";
import { context, metrics, SpanKind, trace } from "@opentelemetry/api";
import { afterEach, describe, expect, it } from "vitest";
import { startTelemetry, type Telemetry, type TelemetryOptions } from "./index.ts";
import { type OtlpReceiver, startOtlpReceiver } from "./testing/otlp-receiver.ts";

const open: (Telemetry | OtlpReceiver)[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

function start(options: Partial<TelemetryOptions> = {}): Telemetry {
  const telemetry = startTelemetry({ service: "shop", instrumentations: false, endpoint: null, ...options });
  open.push(telemetry);
  return telemetry;
}

async function receive(port?: number): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(port);
  open.push(receiver);
  return receiver;
}

function endSpans(count: number): void {
  for (let n = 0; n < count; n++) trace.getTracer("test").startSpan(`work ${n}`).end();
}

describe("telemetry", () => {
  it("delivers every span that ended, and says so", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url });
    endSpans(3_000);
    const left = trace.getTracer("test").startSpan("still open");
    const result = await telemetry.shutdown(5_000);
    expect(result).toMatchObject({
      endpoint: receiver.url,
      spans: { ended: 3_000, exported: 3_000, failed: 0, dropped: 0 },
      openSpans: 1,
      metrics: "delivered",
      clean: true,
    });
    expect(new Set(receiver.spans.map(({ spanId }) => spanId)).size).toBe(3_000);
    left.end();
    expect(telemetry.counts()).toEqual({ ended: 3_001, exported: 3_000, failed: 0, dropped: 1 });
  });

  it("describes the process: option over OTEL_RESOURCE_ATTRIBUTES over default", async () => {
    process.env.OTEL_RESOURCE_ATTRIBUTES = "service.instance.id=pod-7,service.version=1,team=a%20b";
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url, namespace: "demo", version: "2", resource: { zone: "z1" } });
    delete process.env.OTEL_RESOURCE_ATTRIBUTES;
    endSpans(1);
    await telemetry.shutdown(5_000);
    const expected = {
      "service.name": "shop",
      "service.namespace": "demo",
      "service.instance.id": "pod-7",
      "service.version": "2",
      team: "a b",
      zone: "z1",
      "process.pid": process.pid,
    };
    expect(telemetry.resource).toMatchObject(expected);
    expect(receiver.spans[0]!.resource).toEqual(telemetry.resource);
  });

  it("keeps what a receiver could not take, and delivers it once it can", async () => {
    const receiver = await receive();
    receiver.refuse = { code: 14, details: "starting" };
    const telemetry = start({ endpoint: receiver.url });
    endSpans(10);
    const flushed = telemetry.forceFlush(10_000);
    await receiver.until(() => receiver.requests >= 2);
    receiver.refuse = undefined;
    await flushed;
    expect(telemetry.counts()).toEqual({ ended: 10, exported: 10, failed: 0, dropped: 0 });
    expect(receiver.spans).toHaveLength(10);
  });

  it("finds a receiver that was not there at first", async () => {
    const port = await freePort();
    const telemetry = start({ endpoint: `http://127.0.0.1:${port}` });
    endSpans(10);
    const flushed = telemetry.forceFlush(15_000);
    const receiver = await receive(port);
    await flushed;
    expect(telemetry.counts().exported).toBe(10);
    expect(receiver.spans).toHaveLength(10);
  });

  it("counts as failed what a receiver refuses for good", async () => {
    const receiver = await receive();
    receiver.refuse = { code: 3, details: "no" };
    const telemetry = start({ endpoint: receiver.url });
    endSpans(5);
    const { spans, clean } = await telemetry.shutdown(5_000);
    expect(spans).toEqual({ ended: 5, exported: 0, failed: 5, dropped: 0 });
    expect(clean).toBe(false);
  });

  it("closes at its deadline when the receiver never answers, and never throws", async () => {
    const receiver = await receive();
    let answer = (): void => {};
    receiver.hold = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const telemetry = start({ endpoint: receiver.url });
    endSpans(5);
    metrics.getMeter("test").createCounter("n").add(1);
    const result = await telemetry.shutdown(300);
    expect(result.spans).toEqual({ ended: 5, exported: 0, failed: 5, dropped: 0 });
    expect(result.metrics).toBe("failed");
    expect(result.durationMs).toBeLessThan(1_500);
    expect(await telemetry.shutdown(9_000)).toBe(result);
    answer();
  });

  it("closes quickly when nobody listens", async () => {
    const telemetry = start({ endpoint: `http://127.0.0.1:${await freePort()}` });
    endSpans(5);
    const result = await telemetry.shutdown(30_000);
    expect(result.spans.failed).toBe(5);
    expect(result.durationMs).toBeLessThan(5_000);
  });

  it("exports nothing without an endpoint, says so in one line, and still tells stories and traces context", async () => {
    const lines: string[] = [];
    const telemetry = start({ logger: jsonLogger({ write: (line) => lines.push(line) }) });
    let traceId = "";
    trace.getTracer("test").startActiveSpan("work", (span) => {
      traceId = trace.getSpanContext(context.active())!.traceId;
      span.end();
    });
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(await telemetry.shutdown(1_000)).toMatchObject({
      endpoint: null,
      spans: { ended: 1, exported: 0, failed: 0, dropped: 0 },
      metrics: "off",
      clean: true,
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("not exported");
  });

  it("refuses an endpoint that is no URL, and goes without when the environment's is none", () => {
    expect(() => start({ endpoint: "localhost:4317" })).toThrow(/endpoint must be a URL.*"localhost:4317"/);
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = "nonsense";
    const lines: string[] = [];
    const telemetry = start({ endpoint: undefined, logger: jsonLogger({ write: (line) => lines.push(line) }) });
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    expect(telemetry.endpoint).toBeNull();
    expect(lines[0]).toContain("nonsense");
  });

  it("installs no signal handler", async () => {
    const before = ["SIGTERM", "SIGINT", "beforeExit"].map((event) => process.listenerCount(event));
    const receiver = await receive();
    start({ endpoint: receiver.url });
    expect(["SIGTERM", "SIGINT", "beforeExit"].map((event) => process.listenerCount(event))).toEqual(before);
  });

  it("starts again in the same process after it was closed", async () => {
    const receiver = await receive();
    for (let turn = 1; turn <= 2; turn++) {
      const telemetry = start({ endpoint: receiver.url });
      endSpans(4);
      expect((await telemetry.shutdown(5_000)).spans.exported).toBe(4);
    }
    expect(receiver.spans).toHaveLength(8);
  });

  it("leaves another OpenTelemetry SDK alone", async () => {
    const receiver = await receive();
    const first = start({ endpoint: receiver.url, service: "first" });
    const second = start({ endpoint: receiver.url, service: "second" });
    endSpans(2);
    await second.sink.exportSpans([story({ name: "lifecycle.boot" })]);
    expect((await second.shutdown(5_000)).spans.ended).toBe(0);
    expect((await first.shutdown(5_000)).spans.exported).toBe(2);
    expect(receiver.spans.map(({ name, resource }) => [name, resource["service.name"]])).toEqual([
      ["lifecycle.boot", "second"],
      ["work 0", "first"],
      ["work 1", "first"],
    ]);
  });
});

describe("span observers", () => {
  it("are told of each span's start with its parent, and of its end", () => {
    const started: LiveSpan[] = [];
    const ended: SpanReference[] = [];
    const telemetry = start({
      observers: [{ onStart: (span) => void started.push(span), onEnd: (span) => void ended.push(span) }],
    });
    telemetry.addObserver({
      onStart() {
        throw new Error("an observer's own trouble");
      },
      onEnd() {},
    });
    trace
      .getTracer("test")
      .startActiveSpan("GET /", { kind: SpanKind.SERVER, attributes: { "url.path": "/" } }, (outer) => {
        trace.getTracer("test").startSpan("query").end();
        outer.end();
      });
    const [outer, inner] = started;
    expect(outer).toMatchObject({ name: "GET /", kind: "server", attributes: { "url.path": "/" } });
    expect(Math.abs(outer!.startTimeMs - Date.now())).toBeLessThan(60_000);
    expect(inner).toMatchObject({ name: "query", parentSpanId: outer!.spanId, traceId: outer!.traceId });
    expect(ended.map(({ spanId }) => spanId)).toEqual([inner!.spanId, outer!.spanId]);
  });
});

const ids = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const story = (over: object) => ({ ...ids, name: "told", startTimeMs: 1_000, endTimeMs: 2_000, ...over });

describe("the story sink", () => {
  it("delivers spans with the ids, times, links and resource that they bring", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url });
    const other = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
    await telemetry.sink.exportSpans([
      story({
        name: "POST /charge",
        kind: "server",
        parentSpanId: "c".repeat(16),
        startTimeMs: 1_700_000_000_000.25,
        endTimeMs: 1_700_000_000_500,
        status: "error",
        statusMessage: "died",
        attributes: { "http.route": "/charge", gone: undefined, ports: [1, 2] },
        events: [{ name: "app.crash", timeMs: 1_700_000_000_400, attributes: { deep: true } }],
        links: [{ ...other, attributes: { why: "probe" } }],
        resource: { "service.name": "dead", "service.instance.id": "d-1" },
      }),
      story({ spanId: "3".repeat(16), name: "lifecycle.boot" }),
    ]);
    // Resolved means received.
    expect(receiver.spans).toHaveLength(2);
    const told = receiver.spans.find(({ name }) => name === "POST /charge")!;
    expect(told).toEqual({
      resource: { "service.name": "dead", "service.instance.id": "d-1" },
      scope: "holdfast.story",
      ...ids,
      parentSpanId: "c".repeat(16),
      name: "POST /charge",
      kind: "server",
      startNs: 1_700_000_000_000_250_000n,
      endNs: 1_700_000_000_500_000_000n,
      attributes: { "http.route": "/charge", ports: [1, 2] },
      events: [{ name: "app.crash", timeNs: 1_700_000_000_400_000_000n, attributes: { deep: true } }],
      links: [{ ...other, attributes: { why: "probe" } }],
      status: "error",
      statusMessage: "died",
    });
    const own = receiver.spans.find(({ name }) => name === "lifecycle.boot")!;
    expect(own.resource).toEqual(telemetry.resource);
    expect((await telemetry.shutdown(1_000)).stories).toEqual({ delivered: 2, failed: 0 });
  });

  it("rejects when the receiver refuses, so that the record is kept", async () => {
    const receiver = await receive();
    receiver.refuse = { code: 7, details: "not you" };
    const telemetry = start({ endpoint: receiver.url });
    await expect(telemetry.sink.exportSpans([story({})])).rejects.toThrow("not you");
    receiver.refuse = undefined;
    await telemetry.sink.exportSpans([story({})]);
    expect((await telemetry.shutdown(1_000)).stories).toEqual({ delivered: 1, failed: 1 });
  });

  it("refuses ids that are none", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url });
    await expect(telemetry.sink.exportSpans([story({ traceId: "xyz" })])).rejects.toThrow(/"xyz" is not a trace id/);
  });

  it("does not wait behind a connection that hangs", async () => {
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const telemetry = start({ endpoint: `http://127.0.0.1:${(silent.address() as { port: number }).port}` });
    const told = telemetry.sink.exportSpans([story({})]);
    told.catch(() => {});
    expect((await telemetry.shutdown(300)).durationMs).toBeLessThan(1_500);
    silent.close();
  });
});

describe("the bridged logger", () => {
  it("adds the active span's ids to each line, and sends it as a log record with them", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url });
    const lines: Record<string, unknown>[] = [];
    const log = telemetry.logger(jsonLogger({ write: (line) => lines.push(JSON.parse(line)) }));
    let span = { traceId: "", spanId: "" };
    trace.getTracer("test").startActiveSpan("work", (active) => {
      span = active.spanContext();
      log.warn({ orderId: "o-1", err: new RangeError("too much"), items: [{ id: 1n }], skip: undefined }, "odd");
      active.end();
    });
    log.info({}, "outside");
    log.debug({}, "not for export");
    const { logs } = await telemetry.shutdown(5_000);
    expect(logs).toEqual({ emitted: 2, exported: 2, failed: 0, dropped: 0 });
    expect(lines[0]).toMatchObject({ msg: "odd", trace_id: span.traceId, span_id: span.spanId });
    expect(lines[1]).not.toHaveProperty("trace_id");
    expect(receiver.logs[0]).toMatchObject({
      body: "odd",
      severity: 13,
      severityText: "warn",
      traceId: span.traceId,
      spanId: span.spanId,
      attributes: {
        orderId: "o-1",
        items: [{ id: "1" }],
        "exception.type": "RangeError",
        "exception.message": "too much",
      },
    });
    expect(receiver.logs[0]!.attributes).not.toHaveProperty("skip");
    expect(receiver.logs[1]).toMatchObject({ body: "outside", traceId: "" });
  });

  it("cuts a line that would fill the queue's memory", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url });
    const endless: Record<string, unknown> = {};
    endless.self = endless;
    const log = telemetry.logger({ debug() {}, info() {}, warn() {}, error() {} });
    log.info({ text: "x".repeat(1_000_000), endless }, "big");
    await telemetry.shutdown(5_000);
    expect((receiver.logs[0]!.attributes.text as string).length).toBe(4_096);
  });
});

describe("metrics", () => {
  it("go out at the interval", async () => {
    const receiver = await receive();
    const telemetry = start({ endpoint: receiver.url, metricExportIntervalMs: 100 });
    metrics.getMeter("test").createHistogram("test.duration", { unit: "s" }).record(0.2);
    await receiver.until(() => receiver.metrics.length > 0);
    expect(receiver.metrics[0]).toMatchObject({ name: "test.duration", unit: "s" });
    expect(receiver.metrics[0]!.points[0]).toMatchObject({ count: 1n, value: 0.2 });
    await telemetry.shutdown(5_000);
  });

  it("refuses an interval that is none", () => {
    expect(() => start({ metricExportIntervalMs: 10 })).toThrow(/metricExportIntervalMs must be .* not 10/);
  });
});
