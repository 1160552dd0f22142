import { seededRandom } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, it } from "vitest";
import { logsRequest, metricsRequest, tracesRequest } from "../testing/otlp-writer.ts";
import { decodeSpan, readMetricsJson, readTracesJson, scanLogs, scanMetrics, scanTraces } from "./index.ts";

const wanted = {
  resource: new Set(["service.name"]),
  span: new Set(["holdfast.target"]),
  metric: () => true,
};

const traces = tracesRequest({ "service.name": "payments", n: -1 }, [
  { name: "GET", traceState: "ot=th:8", attributes: { "holdfast.target": "ledger", ok: true, ratio: 0.5 } },
  { name: "POST", parentSpanId: "00f067aa0ba902b7", status: 2, attributes: { "holdfast.target": "ledger" } },
]);
const metrics = metricsRequest({ "service.name": "ledger" }, [
  { metric: "a", value: 1, attributes: { x: "y" } },
  { metric: "b", kind: "histogram", value: 1, count: 3 },
  { metric: "c", kind: "exponential", value: 1, count: 3 },
  { metric: "d", kind: "sum", value: 4, integer: true },
]);
const logs = logsRequest({ "service.name": "ledger" }, [9, 17, 21]);

/** Everything that a request is put through, also what happens to a span that is kept. */
function readAll(body: Uint8Array): void {
  for (const read of [
    () => {
      for (const span of scanTraces(body, wanted).records) {
        void [span.traceId, span.spanId, span.parentSpanId, span.attribute("holdfast.target")];
        decodeSpan(span.encoded);
      }
    },
    () => scanMetrics(body, wanted),
    () => scanLogs(body, wanted),
    () => readTracesJson(body, wanted),
    () => readMetricsJson(body, wanted),
  ]) {
    try {
      read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

describe("readers fed with garbage", () => {
  it("answer 20,000 mutations of real requests with records or RangeError, and nothing else", () => {
    const random = seededRandom(20_260_101);
    const pick = (below: number): number => Math.floor(random() * below);
    for (let round = 0; round < 20_000; round++) {
      const body = Uint8Array.from([traces, metrics, logs][round % 3]!);
      for (let changes = 1 + pick(4); changes > 0; changes--) body[pick(body.length)] = pick(256);
      const from = random() < 0.2 ? pick(body.length) : 0;
      const to = random() < 0.2 ? from + pick(body.length - from) : body.length;
      readAll(body.subarray(from, to));
    }
  });

  it("answer any bytes with records or RangeError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (body) => readAll(body)),
      { numRuns: 5_000 },
    );
  });

  it("answer any JSON with records or RangeError", () => {
    fc.assert(
      fc.property(fc.json(), (text) => readAll(Buffer.from(text))),
      { numRuns: 2_000 },
    );
  });

  it("answer JSON of the right keys and any values with records or RangeError", () => {
    const any = fc.jsonValue();
    const list = fc.oneof(any, fc.array(any));
    const span = fc.record({ traceId: any, spanId: any, name: any, kind: any, status: any, attributes: list });
    const scope = fc.record({ spans: fc.oneof(list, fc.array(span)), metrics: list });
    const resource = fc.record({ resource: any, scopeSpans: fc.oneof(list, fc.array(scope)), scopeMetrics: list });
    const request = fc.record({ resourceSpans: fc.oneof(list, fc.array(resource)), resourceMetrics: list });
    fc.assert(
      fc.property(request, (value) => readAll(Buffer.from(JSON.stringify(value)))),
      { numRuns: 200 },
    );
  });
});
