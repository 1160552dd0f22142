import { describe, expect, it } from "vitest";
import {
  attributesField,
  doubleField,
  field,
  fixed64Field,
  joined,
  keyValue,
  logsRequest,
  metricsRequest,
  spanBytes,
  tracesRequest,
  varint,
  varintField,
} from "../testing/otlp-writer.ts";
import { decodeResource, decodeSpan, MAX_ITEMS, scanLogs, scanMetrics, scanTraces } from "./index.ts";

const wanted = {
  resource: new Set(["service.name", "service.instance.id"]),
  span: new Set(["holdfast.target", "http.response.status_code", "ratio", "retry"]),
  metric: (name: string) => name.startsWith("holdfast."),
};

describe("scanning traces", () => {
  it("reads what statistics need of a span, and only the attributes that are asked for", () => {
    const body = tracesRequest({ "service.name": "payments", "service.instance.id": "p-1", secret: "x" }, [
      {
        parentSpanId: "00f067aa0ba902b7",
        traceState: "ot=th:8",
        name: "POST /charge",
        kind: 3,
        startMs: 1_700_000_000_123.456,
        durationMs: 0.75,
        status: 2,
        attributes: {
          "holdfast.target": "ledger",
          "http.response.status_code": 503,
          other: "unread",
          ratio: 0.5,
          retry: true,
        },
      },
    ]);
    const { items, records } = scanTraces(body, wanted);
    expect(items).toBe(1);
    const [span] = records;
    expect(span).toMatchObject({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      parentSpanId: "00f067aa0ba902b7",
      traceState: "ot=th:8",
      name: "POST /charge",
      kind: 3,
      durationMs: 0.75,
      statusCode: 2,
    });
    expect(span!.startMs).toBeCloseTo(1_700_000_000_123.456, 3);
    expect(span!.attribute("holdfast.target")).toBe("ledger");
    expect(span!.attribute("http.response.status_code")).toBe(503);
    expect(span!.attribute("ratio")).toBe(0.5);
    expect(span!.attribute("retry")).toBe(true);
    expect(span!.attribute("other")).toBeUndefined();
    expect(span!.resource.attribute("service.name")).toBe("payments");
    expect(span!.resource.attribute("secret")).toBeUndefined();
  });

  it("takes a resource that stands behind its spans, and two of them as one", () => {
    const body = field(
      1,
      field(2, field(2, spanBytes({}))),
      field(1, attributesField(1, { "service.name": "ledger" })),
      field(1, attributesField(1, { "service.instance.id": "l-2" })),
    );
    const { resource } = scanTraces(body, wanted).records[0]!;
    expect(resource.attribute("service.name")).toBe("ledger");
    expect(resource.attribute("service.instance.id")).toBe("l-2");
    expect(decodeResource(resource.encoded)).toEqual({ "service.name": "ledger", "service.instance.id": "l-2" });
  });

  it("takes two requests one after the other as one", () => {
    const one = tracesRequest({ "service.name": "a" }, [{ name: "first" }]);
    const other = tracesRequest({ "service.name": "b" }, [{ name: "second" }, { name: "third" }]);
    const names = scanTraces(joined(one, other), wanted).records.map((span) => span.name);
    expect(names).toEqual(["first", "second", "third"]);
  });

  it("steps over fields that it does not know, of every wire type", () => {
    const unknown = joined(
      varintField(100, 7),
      fixed64Field(101, 9n),
      field(102, "text"),
      joined(varint((103 << 3) | 5), new Uint8Array(4)),
    );
    const body = field(1, unknown, field(2, unknown, field(2, spanBytes({ name: "kept", extra: unknown }))));
    expect(scanTraces(body, wanted).records[0]!.name).toBe("kept");
  });

  it("hands on a span exactly as it came", () => {
    const bytes = spanBytes({ name: "GET /", attributes: { a: 1 } });
    const span = scanTraces(field(1, field(2, field(2, bytes))), wanted).records[0]!;
    expect(Buffer.from(span.encoded.bytes).equals(bytes)).toBe(true);
  });

  it("reads a kept span in full when somebody looks at it", () => {
    const nested = field(2, field(6, field(1, field(1, "deep"), field(2, field(5, field(1, varintField(3, -5n)))))));
    const event = field(11, fixed64Field(1, 1_700_000_000_000_000_000n), field(2, "retry"), keyValue(3, "n", 2));
    const link = field(13, field(1, Buffer.alloc(16, 0xab)), field(2, Buffer.alloc(8, 0xcd)), keyValue(4, "why", "x"));
    const status = field(15, field(2, "went wrong"), varintField(3, 2));
    const extra = joined(
      field(9, field(1, "map"), nested),
      field(9, field(1, "bytes"), field(2, field(7, "hi"))),
      field(9, field(1, "nan"), field(2, doubleField(4, Number.NaN))),
      field(9, field(1, "__proto__"), field(2, field(1, "harmless"))),
    );
    const bytes = joined(spanBytes({ attributes: { plain: "text" }, extra }), event, link, status);
    const details = decodeSpan({ format: "protobuf", bytes });
    expect(Object.entries(details.attributes)).toEqual([
      ["plain", "text"],
      ["map", { deep: [-5] }],
      ["bytes", "aGk="],
      ["nan", "NaN"],
      ["__proto__", "harmless"],
    ]);
    expect(details.events).toEqual([{ name: "retry", timeMs: 1_700_000_000_000, attributes: { n: 2 } }]);
    expect(details.links).toEqual([{ traceId: "ab".repeat(16), spanId: "cd".repeat(8), attributes: { why: "x" } }]);
    expect(details.statusMessage).toBe("went wrong");
  });

  it("refuses a value that is nested so deep that reading it would exhaust the stack", () => {
    let value = field(1, "bottom");
    for (let depth = 0; depth < 300; depth++) value = field(5, field(1, value));
    const bytes = field(9, field(1, "deep"), field(2, value));
    expect(() => decodeSpan({ format: "protobuf", bytes })).toThrow(RangeError);
    expect(scanTraces(field(1, field(2, field(2, bytes))), wanted).items).toBe(1);
  });

  it("refuses a request of more items than it may keep, though it is small", () => {
    const spans = Buffer.alloc(2 * (MAX_ITEMS + 1), field(2, new Uint8Array(0)));
    expect(() => scanTraces(field(1, field(2, spans)), wanted)).toThrow(/more than 250000 items/);
    const resources = Buffer.alloc(2 * (MAX_ITEMS + 1), field(1, new Uint8Array(0)));
    expect(() => scanTraces(resources, wanted)).toThrow(/more than 250000 items/);
  });

  it.each([
    ["a length beyond the end", joined(varint(10), varint(100), new Uint8Array(5))],
    ["a varint of eleven bytes", Uint8Array.from([8, ...Array.from({ length: 10 }, () => 0xff), 1])],
    ["a length of more than 32 bits", joined(varint(10), varint(2n ** 40n))],
    ["field number 0", Uint8Array.from([0x02, 0x00])],
    ["a group", Uint8Array.from([0x0b, 0x0c])],
    ["a tag and nothing after", Uint8Array.from([0x0a])],
    ["a number where a message should be", varintField(1, 5)],
    ["a field that outgrows its message", field(1, Uint8Array.from([0x12, 0x05, 0x01]))],
    ["a fixed64 cut short", field(1, field(2, field(2, Uint8Array.from([0x39, 1, 2, 3]))))],
  ])("answers RangeError to %s", (_what, body) => {
    expect(() => scanTraces(body, wanted)).toThrow(RangeError);
  });
});

describe("scanning metrics", () => {
  it("reads gauges, sums and both kinds of histogram, and counts the points that nobody wants", () => {
    const body = metricsRequest({ "service.name": "ledger" }, [
      { metric: "holdfast.pool.size", value: 4, integer: true, attributes: { "holdfast.target": "db" } },
      { metric: "holdfast.load", value: 0.25 },
      { metric: "holdfast.breaker.rejections", kind: "sum", value: -3, integer: true, startMs: 1_000, timeMs: 2_000 },
      { metric: "holdfast.pool.wait", kind: "histogram", value: 1.5, count: 30, temporality: 1 },
      { metric: "holdfast.pool.use", kind: "exponential", value: 2.5, count: 40, attributes: { a: "b" } },
      { metric: "http.server.duration", kind: "histogram", value: 9, count: 9 },
    ]);
    const { items, records } = scanMetrics(body, wanted);
    expect(items).toBe(6);
    expect(
      records.map(({ metric, kind, temporality, value, count }) => [metric, kind, temporality, value, count]),
    ).toEqual([
      ["holdfast.pool.size", "gauge", 0, 4, 0],
      ["holdfast.load", "gauge", 0, 0.25, 0],
      ["holdfast.breaker.rejections", "sum", 2, -3, 0],
      ["holdfast.pool.wait", "histogram", 1, 1.5, 30],
      ["holdfast.pool.use", "histogram", 2, 2.5, 40],
    ]);
    expect(records[0]!.attributes.get("holdfast.target")).toBe("db");
    expect(records[4]!.attributes.get("a")).toBe("b");
    expect([records[2]!.startMs, records[2]!.timeMs]).toEqual([1_000, 2_000]);
  });

  it("finds a metric's name behind its data, and its temporality behind its points", () => {
    const point = joined(fixed64Field(3, 5_000_000n), doubleField(4, 2));
    const metric = joined(field(7, field(1, point), varintField(2, 1)), field(1, "holdfast.late"));
    const { records } = scanMetrics(field(1, field(2, field(2, metric))), wanted);
    expect(records[0]).toMatchObject({ metric: "holdfast.late", kind: "sum", temporality: 1, value: 2 });
  });
});

describe("scanning logs", () => {
  it("reads who said how severe a thing", () => {
    const { items, records } = scanLogs(logsRequest({ "service.name": "ledger" }, [9, 17]), wanted);
    expect(items).toBe(2);
    expect(records.map(({ severity }) => severity)).toEqual([9, 17]);
    expect(records[0]!.resource.attribute("service.name")).toBe("ledger");
  });
});
