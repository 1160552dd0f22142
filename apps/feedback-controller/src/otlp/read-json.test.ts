import { describe, expect, it } from "vitest";
import { decodeResource, decodeSpan, readLogsJson, readMetricsJson, readTracesJson } from "./index.ts";

const wanted = {
  resource: new Set(["service.name"]),
  span: new Set(["holdfast.target", "n", "ok", "ratio"]),
  metric: (name: string) => name !== "unwanted",
};

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

const resource = { attributes: [{ key: "service.name", value: { stringValue: "payments" } }] };

describe("reading OTLP's JSON", () => {
  it("reads spans: ids in hex of either case, times as strings, enums as integers", () => {
    const body = json({
      unknown: 1,
      resourceSpans: [
        {
          resource,
          scopeSpans: [
            {
              spans: [
                {
                  traceId: "0AF7651916CD43DD8448EB211C80319C",
                  spanId: "b7ad6b7169203331",
                  name: "GET",
                  kind: 3,
                  startTimeUnixNano: "1700000000123456789",
                  endTimeUnixNano: "1700000000124206789",
                  status: { code: 2, message: "no" },
                  attributes: [
                    { key: "holdfast.target", value: { stringValue: "ledger" } },
                    { key: "n", value: { intValue: "42" } },
                    { key: "ok", value: { boolValue: true } },
                    { key: "ratio", value: { doubleValue: 0.5 } },
                    { key: "list", value: { arrayValue: { values: [{ intValue: 1 }] } } },
                  ],
                  links: [{ traceId: "ab", spanId: "cd" }],
                },
              ],
            },
          ],
        },
      ],
    });
    const [span] = readTracesJson(body, wanted).records;
    expect(span).toMatchObject({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      parentSpanId: "",
      name: "GET",
      kind: 3,
      durationMs: 0.75,
      statusCode: 2,
    });
    expect(["holdfast.target", "n", "ok", "ratio", "list"].map((key) => span!.attribute(key))).toEqual([
      "ledger",
      42,
      true,
      0.5,
      undefined,
    ]);
    expect(span!.resource.attribute("service.name")).toBe("payments");
    expect(decodeResource(span!.resource.encoded)).toEqual({ "service.name": "payments" });
    const details = decodeSpan(span!.encoded);
    expect(details.attributes).toMatchObject({ list: [1], n: 42 });
    expect(details.links).toEqual([{ traceId: "ab", spanId: "cd", attributes: {} }]);
    expect(details.statusMessage).toBe("no");
  });

  it("reads points, and counts those that nobody wants", () => {
    const points = [{ asInt: "7", timeUnixNano: "2000000", attributes: [{ key: "a", value: { stringValue: "b" } }] }];
    const body = json({
      resourceMetrics: [
        {
          resource,
          scopeMetrics: [
            {
              metrics: [
                { name: "g", gauge: { dataPoints: points } },
                { name: "h", histogram: { aggregationTemporality: 1, dataPoints: [{ count: "3", sum: 1.5 }] } },
                { name: "e", exponentialHistogram: { aggregationTemporality: 2, dataPoints: [{ count: 2, sum: 1 }] } },
                { name: "s", summary: { dataPoints: [{}] } },
                { name: "unwanted", sum: { dataPoints: points } },
              ],
            },
          ],
        },
      ],
    });
    const { items, records } = readMetricsJson(body, wanted);
    expect(items).toBe(5);
    expect(
      records.map(({ metric, kind, temporality, value, count }) => [metric, kind, temporality, value, count]),
    ).toEqual([
      ["g", "gauge", 0, 7, 0],
      ["h", "histogram", 1, 1.5, 3],
      ["e", "histogram", 2, 1, 2],
    ]);
    expect(records[0]!.attributes.get("a")).toBe("b");
  });

  it("reads severities", () => {
    const body = json({ resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{ severityNumber: 17 }, {}] }] }] });
    expect(readLogsJson(body, wanted).records.map(({ severity }) => severity)).toEqual([17, 0]);
  });

  it.each([
    ["no JSON", Buffer.from("{")],
    ["no UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d)],
    ["a list", json([])],
    ["resourceSpans that is no list", json({ resourceSpans: {} })],
    ["spans that are no objects", json({ resourceSpans: [{ scopeSpans: [{ spans: [1] }] }] })],
  ])("answers RangeError to %s", (_what, body) => {
    expect(() => readTracesJson(body, wanted)).toThrow(RangeError);
  });

  it("refuses a body of so many objects that parsing it would take half a gigabyte", () => {
    const body = Buffer.from(`{"resourceSpans":[${"{},".repeat(2_000_000)}{}]}`);
    expect(() => readTracesJson(body, wanted)).toThrow(/more than 1500000 objects/);
  });
});
