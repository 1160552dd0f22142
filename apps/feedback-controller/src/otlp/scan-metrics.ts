import { type Pairs, readKeyValue, WireResource } from "./attributes.ts";
import { ItemLimit, noAttributes, type PointRecord, type Reading, type Scalar, type Temporality } from "./records.ts";
import { milliseconds, WireCursor, wireType } from "./wire.ts";

export interface MetricScanOptions {
  /** Attributes of the resource that are read. */
  resource: ReadonlySet<string>;
  /** Whether a metric's points are read; those of the others are only counted. */
  metric(name: string): boolean;
}

/** Which field of a Metric holds its data, and where that kind's points keep what they have in common. */
interface Shape {
  kind: PointRecord["kind"];
  attributesField: number;
  hasTemporality: boolean;
}

const SHAPES: Readonly<Record<number, Shape>> = {
  5: { kind: "gauge", attributesField: 7, hasTemporality: false },
  7: { kind: "sum", attributesField: 7, hasTemporality: true },
  9: { kind: "histogram", attributesField: 9, hasTemporality: true },
  10: { kind: "histogram", attributesField: 1, hasTemporality: true },
};

/** Summaries are counted, not read: no SDK of ours makes them. */
const SUMMARY = 11;

/**
 * Reads an ExportMetricsServiceRequest: the points of the metrics that are wanted. Buckets are stepped over; a histogram
 * is its count and its sum.
 *
 * @throws RangeError when the bytes are not protobuf's wire format, or hold more items than a request may
 */
export function scanMetrics(body: Uint8Array, options: MetricScanOptions): Reading<PointRecord> {
  const wire = new WireCursor(body);
  const reading: Reading<PointRecord> = { items: 0, records: [] };
  const scan: Scan = { wire, options, limit: new ItemLimit(), reading };
  while (wire.next(body.length)) {
    if (wire.field === 1) readResourceMetrics(scan, body.length);
    else wire.skip(body.length);
  }
  return reading;
}

interface Scan {
  wire: WireCursor;
  options: MetricScanOptions;
  limit: ItemLimit;
  reading: Reading<PointRecord>;
}

function readResourceMetrics(scan: Scan, end: number): void {
  const { wire, options, limit } = scan;
  const stop = wire.enter(end);
  const start = wire.position;
  limit.take();
  const resource = new WireResource();
  while (wire.next(stop)) {
    if (wire.field === 1) resource.read(wire, stop, options.resource);
    else wire.skip(stop);
  }
  wire.position = start;
  while (wire.next(stop)) {
    if (wire.field === 2) readScopeMetrics(scan, stop, resource);
    else wire.skip(stop);
  }
}

function readScopeMetrics(scan: Scan, end: number, resource: WireResource): void {
  const { wire } = scan;
  const stop = wire.enter(end);
  while (wire.next(stop)) {
    if (wire.field === 2) readMetric(scan, stop, resource);
    else wire.skip(stop);
  }
}

function readMetric(scan: Scan, end: number, resource: WireResource): void {
  const { wire, options } = scan;
  const stop = wire.enter(end);
  const start = wire.position;
  let name = "";
  while (wire.next(stop)) {
    if (wire.field === 1) name = wire.text(stop);
    else wire.skip(stop);
  }
  wire.position = start;
  const wanted = options.metric(name);
  while (wire.next(stop)) {
    const shape = SHAPES[wire.field];
    if (shape !== undefined) readData(scan, stop, { name, wanted, shape, resource });
    else if (wire.field === SUMMARY) readData(scan, stop, { name, wanted: false, shape: SHAPES[5]!, resource });
    else wire.skip(stop);
  }
}

interface MetricHead {
  name: string;
  wanted: boolean;
  shape: Shape;
  resource: WireResource;
}

function readData({ wire, limit, reading }: Scan, end: number, head: MetricHead): void {
  const stop = wire.enter(end);
  const start = wire.position;
  let temporality: Temporality = 0;
  if (head.wanted && head.shape.hasTemporality) {
    while (wire.next(stop)) {
      if (wire.field === 2 && wire.type === wireType.varint) temporality = asTemporality(wire.varint());
      else wire.skip(stop);
    }
    wire.position = start;
  }
  while (wire.next(stop)) {
    if (wire.field !== 1) {
      wire.skip(stop);
      continue;
    }
    reading.items++;
    if (head.wanted) {
      limit.take();
      reading.records.push(readPoint(wire, stop, head, temporality));
    } else wire.skip(stop);
  }
}

function asTemporality(value: number): Temporality {
  return value === 1 || value === 2 ? value : 0;
}

function readPoint(wire: WireCursor, end: number, head: MetricHead, temporality: Temporality): PointRecord {
  const { shape, name, resource } = head;
  const stop = wire.enter(end);
  const pairs: Pairs = [];
  let startMs = 0;
  let timeMs = 0;
  let value = 0;
  let count = 0;
  while (wire.next(stop)) {
    const field = wire.field;
    if (field === shape.attributesField) readKeyValue(wire, stop, undefined, pairs);
    else if (field === 2 && wire.type === wireType.fixed64) {
      wire.fixed64();
      startMs = milliseconds(wire);
    } else if (field === 3 && wire.type === wireType.fixed64) {
      wire.fixed64();
      timeMs = milliseconds(wire);
    } else if (field === 4 && wire.type === wireType.fixed64) {
      if (shape.kind === "histogram") count = wire.unsigned64();
      else value = wire.double();
    } else if (field === 5 && wire.type === wireType.fixed64 && shape.kind === "histogram") value = wire.double();
    else if (field === 6 && wire.type === wireType.fixed64 && shape.kind !== "histogram") value = wire.signed64();
    else wire.skip(stop);
  }
  const attributes = pairs.length === 0 ? noAttributes : asMap(pairs);
  return { resource, metric: name, kind: shape.kind, temporality, startMs, timeMs, value, count, attributes };
}

function asMap(pairs: Pairs): ReadonlyMap<string, Scalar> {
  const map = new Map<string, Scalar>();
  for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i] as string, pairs[i + 1]!);
  return map;
}
