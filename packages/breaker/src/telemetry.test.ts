import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { attr, metric } from "@holdfast/core";
import { TestClock } from "@holdfast/testkit";
import { context, metrics, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type BreakerOptions, CircuitBreaker } from "./circuit-breaker.ts";

const spans = new InMemorySpanExporter();
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
// Made before there is a provider: its metrics must come all the same.
const early = new CircuitBreaker({ name: "early", mode: "enforce" });

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }));
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
});

beforeEach(() => {
  spans.reset();
  exporter.reset();
});

afterAll(async () => {
  await early.close();
  await reader.shutdown();
});

interface Point {
  attributes: Readonly<Record<string, unknown>>;
  value: unknown;
}

/** What a collection says of one metric and target. */
async function collected(name: string, target: string): Promise<Point[]> {
  exporter.reset();
  await reader.forceFlush();
  return exporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap((scope) => scope.metrics)
    .filter(({ descriptor }) => descriptor.name === name)
    .flatMap(({ dataPoints }): Point[] => dataPoints.map(({ attributes, value }) => ({ attributes, value })))
    .filter(({ attributes }) => attributes[attr.target] === target);
}

function make(name: string, options: Partial<BreakerOptions> = {}): CircuitBreaker {
  return new CircuitBreaker({ name, mode: "enforce", consecutiveFailures: 3, clock: new TestClock(), ...options });
}

function fail(breaker: CircuitBreaker, times: number): void {
  for (let time = 0; time < times; time++) {
    const permit = breaker.tryAcquire();
    if (permit.admitted) permit.fail();
  }
}

describe("a breaker's metrics", () => {
  it("tell state, sharing, outcomes, rejections and transitions", async () => {
    await using breaker = make("told");
    await breaker.execute(() => Promise.resolve());
    fail(breaker, 5);
    expect(await collected(metric.breakerState, "told")).toEqual([{ attributes: { [attr.target]: "told" }, value: 2 }]);
    expect(await collected(metric.breakerSharing, "told")).toMatchObject([{ value: 0 }]);
    expect(await collected(metric.breakerOutcomes, "told")).toEqual([
      { attributes: { [attr.target]: "told", outcome: "success" }, value: 1 },
      { attributes: { [attr.target]: "told", outcome: "failure" }, value: 3 },
      { attributes: { [attr.target]: "told", outcome: "ignored" }, value: 0 },
    ]);
    expect(await collected(metric.breakerRejections, "told")).toEqual([
      { attributes: { [attr.target]: "told", [attr.mode]: "enforce" }, value: 2 },
      { attributes: { [attr.target]: "told", [attr.mode]: "observe" }, value: 0 },
    ]);
    expect(await collected(metric.breakerTransitions, "told")).toEqual([
      { attributes: { [attr.target]: "told", from: "closed", to: "open", origin: "local" }, value: 1 },
    ]);
  });

  it("count what observe would have rejected apart", async () => {
    await using breaker = make("observed", { mode: "observe" });
    fail(breaker, 5);
    expect((await collected(metric.breakerRejections, "observed")).map(({ value }) => value)).toEqual([0, 2]);
  });

  it("come also from a breaker made before the provider was there, once another one is made or moves", async () => {
    await make("later").close();
    expect(await collected(metric.breakerState, "early")).toMatchObject([{ value: 0 }]);
  });

  it("end with close()", async () => {
    const breaker = make("closed");
    await breaker.close();
    expect(await collected(metric.breakerState, "closed")).toEqual([]);
  });

  it("do not keep a breaker alive that was dropped without close()", async () => {
    make("dropped");
    await turn();
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
    await turn();
    expect(await collected(metric.breakerState, "dropped")).toEqual([]);
  });
});

describe("a breaker's spans", () => {
  it("tell of each transition in a trace of its own, linked to the call that caused it", async () => {
    await using breaker = make("spans", { consecutiveFailures: 1 });
    const tracer = trace.getTracer("test");
    const cause = tracer.startSpan("call");
    context.with(trace.setSpan(context.active(), cause), () => fail(breaker, 1));
    cause.end();
    const [transition] = spans.getFinishedSpans();
    expect(transition).toMatchObject({
      name: "holdfast.breaker.transition",
      attributes: { [attr.target]: "spans", from: "closed", to: "open", origin: "local", incarnation: "local" },
    });
    expect(transition!.parentSpanContext).toBeUndefined();
    expect(transition!.links.map((link) => link.context.spanId)).toEqual([cause.spanContext().spanId]);
  });

  it("carry an event for each rejection by execute, also for those that observe lets pass", async () => {
    for (const mode of ["enforce", "observe"] as const) {
      await using breaker = make(`event-${mode}`, { mode });
      fail(breaker, 3);
      await trace.getTracer("test").startActiveSpan(mode, async (span) => {
        await breaker.execute(() => Promise.resolve()).catch(() => {});
        span.end();
      });
      const call = spans.getFinishedSpans().find(({ name }) => name === mode)!;
      expect(call.events).toMatchObject([
        {
          name: "holdfast.breaker.rejected",
          attributes: { [attr.target]: `event-${mode}`, [attr.breakerState]: "open", [attr.mode]: mode },
        },
      ]);
    }
  });
});
