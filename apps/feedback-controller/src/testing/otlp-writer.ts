/** Writes OTLP by hand, so that tests can also write what no exporter would. */

type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface TestSpan {
  traceId?: string | undefined;
  spanId?: string | undefined;
  parentSpanId?: string | undefined;
  traceState?: string | undefined;
  name?: string | undefined;
  kind?: number | undefined;
  startMs?: number | undefined;
  durationMs?: number | undefined;
  status?: number | undefined;
  attributes?: Attributes | undefined;
  /** Raw fields appended to the span. */
  extra?: Uint8Array | undefined;
}

export interface TestPoint {
  metric: string;
  kind?: "gauge" | "sum" | "histogram" | "exponential" | undefined;
  temporality?: number | undefined;
  startMs?: number | undefined;
  timeMs?: number | undefined;
  value?: number | undefined;
  /** Writes the value as an integer. */
  integer?: boolean | undefined;
  count?: number | undefined;
  attributes?: Attributes | undefined;
}

export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A length-delimited field. */
export function field(number: number, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  return joined(varint((number << 3) | 2), varint(body.length), body);
}

export function varintField(number: number, value: number | bigint): Uint8Array {
  return joined(varint(number << 3), varint(value));
}

export function fixed64Field(number: number, value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return joined(varint((number << 3) | 1), bytes);
}

export function doubleField(number: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return joined(varint((number << 3) | 1), bytes);
}

export function keyValue(number: number, key: string, value: string | number | boolean): Uint8Array {
  return field(number, field(1, key), field(2, anyValue(value)));
}

function anyValue(value: string | number | boolean): Uint8Array {
  if (typeof value === "string") return field(1, value);
  if (typeof value === "boolean") return varintField(2, value ? 1 : 0);
  return Number.isInteger(value) ? varintField(3, BigInt(value)) : doubleField(4, value);
}

export function attributesField(number: number, attributes: Attributes = {}): Uint8Array {
  return joined(...Object.entries(attributes).map(([key, value]) => keyValue(number, key, value)));
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1_000)) * 1_000n;
}

export function spanBytes(span: TestSpan): Uint8Array {
  const { startMs = 1_700_000_000_000, durationMs = 10 } = span;
  return joined(
    field(1, Buffer.from(span.traceId ?? "0af7651916cd43dd8448eb211c80319c", "hex")),
    field(2, Buffer.from(span.spanId ?? "b7ad6b7169203331", "hex")),
    ...(span.traceState === undefined ? [] : [field(3, span.traceState)]),
    ...(span.parentSpanId === undefined ? [] : [field(4, Buffer.from(span.parentSpanId, "hex"))]),
    field(5, span.name ?? "GET"),
    varintField(6, span.kind ?? 3),
    fixed64Field(7, nanoseconds(startMs)),
    fixed64Field(8, nanoseconds(startMs) + nanoseconds(durationMs)),
    attributesField(9, span.attributes),
    span.extra ?? new Uint8Array(0),
    field(15, varintField(3, span.status ?? 0)),
  );
}

/** An ExportTraceServiceRequest with one resource. */
export function tracesRequest(resource: Attributes, spans: readonly TestSpan[]): Uint8Array {
  const scope = field(2, field(1, field(1, "test")), ...spans.map((span) => field(2, spanBytes(span))));
  return field(1, field(1, attributesField(1, resource)), scope);
}

/** An ExportMetricsServiceRequest with one resource and one metric for each point. */
export function metricsRequest(resource: Attributes, points: readonly TestPoint[]): Uint8Array {
  return field(
    1,
    field(1, attributesField(1, resource)),
    field(2, ...points.map((point) => field(2, field(1, point.metric), metricData(point)))),
  );
}

function metricData(point: TestPoint): Uint8Array {
  const { kind = "gauge", temporality = 2, startMs = 0, timeMs = 1_700_000_000_000, value = 0, count = 0 } = point;
  const times = [fixed64Field(2, nanoseconds(startMs)), fixed64Field(3, nanoseconds(timeMs))];
  const temporalityField = varintField(2, temporality);
  if (kind === "histogram") {
    const data = joined(
      ...times,
      fixed64Field(4, BigInt(count)),
      doubleField(5, value),
      field(6, new Uint8Array(16)),
      field(7, new Uint8Array(8)),
      attributesField(9, point.attributes),
    );
    return field(9, field(1, data), temporalityField);
  }
  if (kind === "exponential") {
    const data = joined(
      attributesField(1, point.attributes),
      ...times,
      fixed64Field(4, BigInt(count)),
      doubleField(5, value),
      varintField(6, 40),
      fixed64Field(7, 0n),
      field(8, varintField(1, 3), field(2, varint(1))),
    );
    return field(10, field(1, data), temporalityField);
  }
  const number = point.integer === true ? fixed64Field(6, BigInt(value)) : doubleField(4, value);
  const data = joined(...times, number, attributesField(7, point.attributes));
  return kind === "gauge" ? field(5, field(1, data)) : field(7, field(1, data), temporalityField, varintField(3, 1));
}

/** An ExportLogsServiceRequest with one resource. */
export function logsRequest(resource: Attributes, severities: readonly number[]): Uint8Array {
  const records = severities.map((severity) => field(2, varintField(2, severity), field(5, field(1, "a line"))));
  return field(1, field(1, attributesField(1, resource)), field(2, ...records));
}
