import {
  type Encoded,
  ItemLimit,
  type LogRecord,
  noAttributes,
  type PointRecord,
  type Reading,
  type ResourceRecord,
  type Scalar,
  type SpanRecord,
  type Temporality,
} from "./records.ts";

// OTLP's JSON mapping (OTLP specification, "JSON Protobuf Encoding"): ids in hex, enums as integers, 64-bit numbers as
// strings or numbers, unknown fields ignored. What has the wrong type counts as absent, because the scanner too looks
// only at what it needs; a request that is not of the shape at all is refused.

type Json = Readonly<Record<string, unknown>>;

export interface JsonTraceOptions {
  resource: ReadonlySet<string>;
  span: ReadonlySet<string>;
}

export interface JsonMetricOptions {
  resource: ReadonlySet<string>;
  metric(name: string): boolean;
}

/** @throws RangeError when the body is not JSON, not a request, or holds more items than a request may */
export function readTracesJson(body: Uint8Array, options: JsonTraceOptions): Reading<SpanRecord> {
  const records: SpanRecord[] = [];
  const limit = new ItemLimit();
  for (const resourceSpans of objects(request(body).resourceSpans)) {
    const resource = jsonResource(resourceSpans.resource, options.resource);
    for (const scopeSpans of objects(resourceSpans.scopeSpans)) {
      for (const span of objects(scopeSpans.spans)) {
        limit.take();
        records.push(jsonSpan(span, resource, options.span));
      }
    }
  }
  return { items: records.length, records };
}

/** @throws RangeError when the body is not JSON, not a request, or holds more items than a request may */
export function readMetricsJson(body: Uint8Array, options: JsonMetricOptions): Reading<PointRecord> {
  const reading: Reading<PointRecord> = { items: 0, records: [] };
  const limit = new ItemLimit();
  for (const resourceMetrics of objects(request(body).resourceMetrics)) {
    const resource = jsonResource(resourceMetrics.resource, options.resource);
    for (const scopeMetrics of objects(resourceMetrics.scopeMetrics)) {
      for (const metric of objects(scopeMetrics.metrics)) readMetric(metric, resource, options, limit, reading);
    }
  }
  return reading;
}

/** @throws RangeError when the body is not JSON, not a request, or holds more items than a request may */
export function readLogsJson(body: Uint8Array, options: { resource: ReadonlySet<string> }): Reading<LogRecord> {
  const records: LogRecord[] = [];
  const limit = new ItemLimit();
  for (const resourceLogs of objects(request(body).resourceLogs)) {
    const resource = jsonResource(resourceLogs.resource, options.resource);
    for (const scopeLogs of objects(resourceLogs.scopeLogs)) {
      for (const record of objects(scopeLogs.logRecords)) {
        limit.take();
        records.push({ resource, severity: integer(record.severityNumber) });
      }
    }
  }
  return { items: records.length, records };
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Objects and lists that a body may hold. Some 20 bytes of JSON hold one where the sender is honest; `{},{},{}` would
 * otherwise turn 20 MiB into half a gigabyte of objects.
 */
const MOST_OBJECTS = 1_500_000;

function request(body: Uint8Array): Json {
  let objects = 0;
  for (const byte of body) if (byte === 0x7b || byte === 0x5b) objects++;
  if (objects > MOST_OBJECTS) throw new RangeError(`the body holds more than ${MOST_OBJECTS} objects and lists`);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    throw new RangeError("the body is not JSON");
  }
  if (!isObject(value)) throw new RangeError("the body is not an object");
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function* objects(value: unknown): Generator<Json> {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) throw new RangeError("a list of the request is not a list");
  for (const item of value) {
    if (!isObject(item)) throw new RangeError("an item of a list is not an object");
    yield item;
  }
}

function jsonResource(value: unknown, wanted: ReadonlySet<string>): ResourceRecord {
  const resource = isObject(value) ? value : {};
  const attributes = jsonAttributes(resource.attributes, wanted);
  return {
    attribute: (key) => attributes.get(key),
    get encoded() {
      return encode(resource);
    },
  };
}

function jsonSpan(span: Json, resource: ResourceRecord, wanted: ReadonlySet<string>): SpanRecord {
  const start = nanoseconds(span.startTimeUnixNano);
  const end = nanoseconds(span.endTimeUnixNano);
  const attributes = jsonAttributes(span.attributes, wanted);
  return {
    resource,
    traceId: id(span.traceId),
    spanId: id(span.spanId),
    parentSpanId: id(span.parentSpanId),
    traceState: text(span.traceState),
    name: text(span.name),
    kind: integer(span.kind),
    startMs: Number(start) / 1e6,
    durationMs: Number(end - start) / 1e6,
    statusCode: isObject(span.status) ? integer(span.status.code) : 0,
    attribute: (key) => attributes.get(key),
    get encoded() {
      return encode(span);
    },
  };
}

function readMetric(
  metric: Json,
  resource: ResourceRecord,
  options: JsonMetricOptions,
  limit: ItemLimit,
  reading: Reading<PointRecord>,
): void {
  const name = text(metric.name);
  const wanted = options.metric(name);
  for (const [field, kind] of METRIC_KINDS) {
    const data = metric[field];
    if (!isObject(data)) continue;
    const temporality = asTemporality(integer(data.aggregationTemporality));
    for (const point of objects(data.dataPoints)) {
      reading.items++;
      if (!wanted || kind === "summary") continue;
      limit.take();
      const histogram = kind === "histogram";
      reading.records.push({
        resource,
        metric: name,
        kind,
        temporality: kind === "gauge" ? 0 : temporality,
        startMs: Number(nanoseconds(point.startTimeUnixNano)) / 1e6,
        timeMs: Number(nanoseconds(point.timeUnixNano)) / 1e6,
        value: number(histogram ? point.sum : (point.asDouble ?? point.asInt)),
        count: histogram ? number(point.count) : 0,
        attributes: jsonAttributes(point.attributes, undefined),
      });
    }
  }
}

const METRIC_KINDS = [
  ["gauge", "gauge"],
  ["sum", "sum"],
  ["histogram", "histogram"],
  ["exponentialHistogram", "histogram"],
  ["summary", "summary"],
] as const;

function jsonAttributes(value: unknown, wanted: ReadonlySet<string> | undefined): ReadonlyMap<string, Scalar> {
  if (!Array.isArray(value) || value.length === 0) return noAttributes;
  const attributes = new Map<string, Scalar>();
  for (const item of value) {
    if (!isObject(item) || typeof item.key !== "string" || !isObject(item.value)) continue;
    if (wanted !== undefined && !wanted.has(item.key)) continue;
    const scalar = jsonScalar(item.value);
    if (scalar !== undefined) attributes.set(item.key, scalar);
  }
  return attributes;
}

function jsonScalar(value: Json): Scalar | undefined {
  if (typeof value.stringValue === "string") return value.stringValue;
  if (typeof value.boolValue === "boolean") return value.boolValue;
  if (value.intValue !== undefined) return number(value.intValue);
  if (value.doubleValue !== undefined) return number(value.doubleValue);
  return undefined;
}

function asTemporality(value: number): Temporality {
  return value === 1 || value === 2 ? value : 0;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function id(value: unknown): string {
  return typeof value === "string" && /^[0-9a-f]{0,64}$/i.test(value) ? value.toLowerCase() : "";
}

/** Numbers may be strings, because JavaScript's do not hold 64 bits; NaN and the infinities always are. */
function number(value: unknown): number {
  return typeof value === "number" ? value : typeof value === "string" && value !== "" ? Number(value) : 0;
}

function integer(value: unknown): number {
  return Number.isSafeInteger(value) ? (value as number) : 0;
}

function nanoseconds(value: unknown): bigint {
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) return BigInt(value);
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return BigInt(Math.trunc(value));
  return 0n;
}

const encoder = new TextEncoder();

function encode(value: Json): Encoded {
  return { format: "json", bytes: encoder.encode(JSON.stringify(value)) };
}
