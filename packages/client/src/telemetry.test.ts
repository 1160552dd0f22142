import { type ServiceError, status as Status } from "@grpc/grpc-js";
import { TestClock } from "@holdfast/testkit";
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { grpcInterceptor } from "./grpc.ts";
import { createTarget, type Target, type TargetOptions } from "./index.ts";
import { paymentsClient, refusal, startGrpcServer } from "./testing/grpc-server.ts";
import { answer, startHttpServer } from "./testing/http-server.ts";
import { RecordingGate } from "./testing/recording-gate.ts";

const spans = new InMemorySpanExporter();
const exporter = new InMemoryMetricExporter(AggregationTemporality.DELTA);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });

beforeAll(() => {
  // Made before the SDK is there, as a module's top level does.
  early = enforced({ name: "early" });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }));
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  new UndiciInstrumentation().enable();
});

afterEach(() => {
  spans.reset();
  exporter.reset();
});

let early: Target;

function enforced(options: Partial<TargetOptions> = {}): Target {
  return createTarget({ name: "ledger", mode: "enforce", random: () => 0, ...options });
}

const call = (): ReadableSpan => spans.getFinishedSpans().find(({ name }) => name.startsWith("holdfast.call"))!;
const attempts = (): ReadableSpan[] => spans.getFinishedSpans().filter(({ kind }) => kind === SpanKind.CLIENT);
const events = (): unknown[] => call().events.map(({ name, attributes }) => [name, attributes]);

describe("the spans of a call", () => {
  it("are one for the call and one for each attempt, whose context is sent, and no other", async () => {
    await using server = await startHttpServer((_, response, number) => answer(response, number < 3 ? 503 : 200));
    await using target = enforced({ urls: [server.url] });
    await (await target.fetch("/entries?sig=secret&x=1")).text();
    expect(spans.getFinishedSpans()).toHaveLength(4);
    expect(call()).toMatchObject({
      name: "holdfast.call ledger",
      kind: SpanKind.INTERNAL,
      attributes: { "holdfast.target": "ledger", "holdfast.mode": "enforce", "holdfast.attempts": 3 },
      status: { code: SpanStatusCode.UNSET },
    });
    for (const [index, attempt] of attempts().entries()) {
      expect(attempt.parentSpanContext?.spanId).toBe(call().spanContext().spanId);
      expect(server.requests[index]!.headers.traceparent).toBe(
        `00-${call().spanContext().traceId}-${attempt.spanContext().spanId}-01`,
      );
    }
    const { port } = new URL(server.url);
    expect(attempts().map(({ name, attributes, status }) => ({ name, attributes, status: status.code }))).toEqual(
      [503, 503, 200].map((status, index) => ({
        name: "GET",
        attributes: {
          "holdfast.target": "ledger",
          "http.request.method": "GET",
          "url.full": `${server.url}/entries?sig=REDACTED&x=1`,
          "server.address": "127.0.0.1",
          "server.port": Number(port),
          "http.response.status_code": status,
          ...(index > 0 && { "http.request.resend_count": index }),
          ...(status === 503 && { "error.type": "503" }),
        },
        status: status === 503 ? SpanStatusCode.ERROR : SpanStatusCode.UNSET,
      })),
    );
    expect(events()).toMatchObject([
      ["holdfast.retry", { "holdfast.retry.attempt": 2, "holdfast.retry.delay_ms": 0, "holdfast.retry.reason": "503" }],
      ["holdfast.retry", { "holdfast.retry.attempt": 3 }],
    ]);
  });

  it("leave what the caller does afterwards traced as before", async () => {
    await using server = await startHttpServer((_, response) => answer(response, 200));
    await using target = enforced({ urls: [server.url], fetch: globalThis.fetch });
    await (await target.fetch("/")).text();
    spans.reset();
    await (await fetch(server.url)).text();
    expect(attempts()).toHaveLength(1);
  });

  it("last until the body does, and tell that the deadline cut it off", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => void response.write("the beginning"));
    await using target = enforced({ urls: [server.url], clock, deadlineMs: 1_000 });
    const response = await target.fetch("/");
    expect(spans.getFinishedSpans()).toHaveLength(0);
    clock.advance(1_000);
    await response.text().catch(() => {});
    expect(call()).toMatchObject({ status: { code: SpanStatusCode.ERROR, message: "DEADLINE_EXCEEDED" } });
    expect(events()).toMatchObject([["holdfast.cut-off", { "holdfast.rejection.reason": "deadline" }]]);
    expect(attempts()).toMatchObject([{ attributes: { "error.type": "timeout", "http.response.status_code": 200 } }]);
  });

  it("end with a short answer, also when nobody reads it", async () => {
    await using server = await startHttpServer((_, response) => answer(response, 200));
    await using target = enforced({ urls: [server.url] });
    await target.fetch("/");
    while (spans.getFinishedSpans().length < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  it("say why a call was refused", async () => {
    const breaker = new RecordingGate();
    breaker.admits = 0;
    await expect(enforced({ breaker }).run(() => 1)).rejects.toMatchObject({ code: "BREAKER_OPEN" });
    expect(call()).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "BREAKER_OPEN" },
    });
    expect(events()).toEqual([
      [
        "holdfast.rejected",
        { "holdfast.rejection.reason": "breaker-open", "holdfast.breaker.state": "open", "holdfast.mode": "enforce" },
      ],
    ]);
    expect(attempts()).toHaveLength(0);
  });

  it("show in observe mode what would have happened", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    breaker.admits = 0;
    const target = createTarget({
      name: "ledger",
      clock,
      breaker,
      attemptTimeoutMs: 100,
      deadlineMs: 400,
      random: () => 1,
    });
    const fn = async (): Promise<void> => {
      clock.advance(200);
      throw new Error("failed");
    };
    await expect(target.run(fn, { idempotent: true })).rejects.toThrow("failed");
    expect(events()).toMatchObject([
      ["holdfast.rejected", { "holdfast.rejection.reason": "breaker-open", "holdfast.mode": "observe" }],
      ["holdfast.cut-off", { "holdfast.rejection.reason": "attempt-timeout", "holdfast.mode": "observe" }],
      ["holdfast.retry", { "holdfast.retry.delay_ms": 50, "holdfast.mode": "observe" }],
    ]);
  });

  it("are none when the target is off, and the transport's own instrumentation tells the call", async () => {
    await using server = await startHttpServer((_, response) => answer(response, 200));
    await using target = createTarget({ name: "ledger", mode: "off", urls: [server.url] });
    await (await target.fetch("/")).text();
    expect(spans.getFinishedSpans()).toHaveLength(1);
    expect(attempts()[0]!.attributes["holdfast.target"]).toBeUndefined();
    expect(server.requests[0]!.headers["x-holdfast-deadline-ms"]).toBeUndefined();
  });

  it("put what a function does under its attempt", async () => {
    await enforced().run(() => trace.getTracer("test").startSpan("SELECT").end());
    const inner = spans.getFinishedSpans().find(({ name }) => name === "SELECT")!;
    expect(inner.parentSpanContext?.spanId).toBe(attempts()[0]!.spanContext().spanId);
    expect(attempts()[0]!.name).toBe("holdfast.run ledger");
  });

  it("are the same for gRPC", async () => {
    await using server = await startGrpcServer((call, reply, number) =>
      number < 2 ? reply(refusal(Status.UNAVAILABLE)) : reply(null, call.metadata.get("traceparent")),
    );
    using client = paymentsClient(server.address, { interceptors: [grpcInterceptor(enforced({ name: "payments" }))] });
    const traceparent = await new Promise((resolve, reject) => {
      client.charge({}, (error: ServiceError | null, reply: unknown) => (error ? reject(error) : resolve(reply)));
    });
    const { traceId } = call().spanContext();
    expect(traceparent).toEqual([`00-${traceId}-${attempts()[1]!.spanContext().spanId}-01`]);
    const [address, port] = server.address.split(":");
    const common = {
      "holdfast.target": "payments",
      "rpc.system": "grpc",
      "rpc.service": "test.Payments",
      "rpc.method": "Charge",
      "server.address": address,
      "server.port": Number(port),
    };
    expect(attempts().map(({ name, attributes }) => [name, attributes])).toEqual([
      ["test.Payments/Charge", { ...common, "rpc.grpc.status_code": 14, "error.type": "UNAVAILABLE" }],
      ["test.Payments/Charge", { ...common, "rpc.grpc.status_code": 0, "http.request.resend_count": 1 }],
    ]);
  });
});

describe("the metrics of a target", () => {
  it("count calls, attempts and refusals, also of a target made before the SDK was there", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    breaker.admits = 2;
    const options = { clock, breaker, retry: { maxAttempts: 2, baseDelayMs: 1 } };
    const target = enforced({ name: "counted", ...options });
    const failing = target.run(() => Promise.reject(new Error("x")), { idempotent: true });
    failing.catch(() => {});
    await clock.advanceAsync(1);
    await expect(failing).rejects.toThrow("x");
    await expect(target.run(() => 1)).rejects.toMatchObject({ code: "BREAKER_OPEN" });
    await early.run(() => 1);
    await reader.forceFlush();
    const points = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap(({ metrics: instruments }) => instruments)
      .flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => ({
          name: descriptor.name,
          ...attributes,
          count: typeof value === "number" ? value : (value as { count: number }).count,
        })),
      )
      .filter((point) => ["counted", "early"].includes(String(Reflect.get(point, "holdfast.target"))));
    const counted = { "holdfast.target": "counted" };
    expect(points).toEqual(
      expect.arrayContaining([
        { name: "holdfast.client.call.duration", ...counted, outcome: "failure", count: 1 },
        { name: "holdfast.client.call.duration", ...counted, outcome: "rejected", count: 1 },
        { name: "holdfast.client.attempts", ...counted, outcome: "failure", count: 2 },
        {
          name: "holdfast.client.rejections",
          ...counted,
          reason: "breaker-open",
          "holdfast.mode": "enforce",
          count: 1,
        },
        { name: "holdfast.client.call.duration", "holdfast.target": "early", outcome: "success", count: 1 },
        { name: "holdfast.client.attempts", "holdfast.target": "early", outcome: "success", count: 1 },
      ]),
    );
    expect(points).toHaveLength(6);
  });
});
