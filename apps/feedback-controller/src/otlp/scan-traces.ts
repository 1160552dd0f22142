import { find, type Pairs, readKeyValue, WireResource } from "./attributes.ts";
import { hex } from "./hex.ts";
import { type Encoded, ItemLimit, type Reading, type ResourceRecord, type Scalar, type SpanRecord } from "./records.ts";
import { milliseconds, WireCursor, wireType } from "./wire.ts";

export interface TraceScanOptions {
  /** Attributes of the resource that are read. */
  resource: ReadonlySet<string>;
  /** Attributes of spans that are read. */
  span: ReadonlySet<string>;
}

/**
 * Reads an ExportTraceServiceRequest, or several concatenated, without decoding what is not asked for.
 *
 * The records refer to `body`, which must not be changed while they are used. It is no validator: what it has no need to
 * look at may be anything.
 *
 * @throws RangeError when the bytes are not protobuf's wire format, or hold more items than a request may
 */
export function scanTraces(body: Uint8Array, options: TraceScanOptions): Reading<SpanRecord> {
  const wire = new WireCursor(body);
  const scan: Scan = { wire, options, limit: new ItemLimit(), records: [] };
  while (wire.next(body.length)) {
    if (wire.field === 1) readResourceSpans(scan, body.length);
    else wire.skip(body.length);
  }
  return { items: scan.records.length, records: scan.records };
}

interface Scan {
  wire: WireCursor;
  options: TraceScanOptions;
  limit: ItemLimit;
  records: SpanRecord[];
}

function readResourceSpans(scan: Scan, end: number): void {
  const { wire, options, limit } = scan;
  const stop = wire.enter(end);
  const start = wire.position;
  limit.take();
  // The resource may stand behind its spans, and there may be several; stepping over the spans costs a length each.
  const resource = new WireResource();
  while (wire.next(stop)) {
    if (wire.field === 1) resource.read(wire, stop, options.resource);
    else wire.skip(stop);
  }
  wire.position = start;
  while (wire.next(stop)) {
    if (wire.field === 2) readScopeSpans(scan, stop, resource);
    else wire.skip(stop);
  }
}

function readScopeSpans({ wire, options, limit, records }: Scan, end: number, resource: ResourceRecord): void {
  const stop = wire.enter(end);
  while (wire.next(stop)) {
    if (wire.field === 2) {
      limit.take();
      records.push(new WireSpan(wire, stop, resource, options.span));
    } else wire.skip(stop);
  }
}

const nothing: Pairs = [];

/** Ids stay bytes until somebody asks for them: statistics never do. */
class WireSpan implements SpanRecord {
  readonly resource: ResourceRecord;
  traceState = "";
  name = "";
  kind = 0;
  startMs = 0;
  durationMs = 0;
  statusCode = 0;
  readonly #body: Uint8Array;
  readonly #from: number;
  readonly #to: number;
  #traceIdAt = 0;
  #traceIdTo = 0;
  #spanIdAt = 0;
  #spanIdTo = 0;
  #parentAt = 0;
  #parentTo = 0;
  #pairs: Pairs = nothing;

  constructor(wire: WireCursor, end: number, resource: ResourceRecord, wanted: ReadonlySet<string>) {
    this.resource = resource;
    const stop = wire.enter(end);
    this.#body = wire.bytes;
    this.#from = wire.position;
    this.#to = stop;
    let startLow = 0;
    let startHigh = 0;
    let endLow = 0;
    let endHigh = 0;
    while (wire.next(stop)) {
      switch (wire.field) {
        case 1:
          this.#traceIdTo = wire.enter(stop);
          this.#traceIdAt = wire.position;
          wire.position = this.#traceIdTo;
          break;
        case 2:
          this.#spanIdTo = wire.enter(stop);
          this.#spanIdAt = wire.position;
          wire.position = this.#spanIdTo;
          break;
        case 3:
          this.traceState = wire.text(stop);
          break;
        case 4:
          this.#parentTo = wire.enter(stop);
          this.#parentAt = wire.position;
          wire.position = this.#parentTo;
          break;
        case 5:
          this.name = wire.text(stop);
          break;
        case 6:
          if (wire.type === wireType.varint) this.kind = wire.varint();
          else wire.skip(stop);
          break;
        case 7:
          wire.fixed64();
          startLow = wire.low;
          startHigh = wire.high;
          this.startMs = milliseconds(wire);
          break;
        case 8:
          wire.fixed64();
          endLow = wire.low;
          endHigh = wire.high;
          break;
        case 9:
          if (this.#pairs === nothing) this.#pairs = [];
          readKeyValue(wire, stop, wanted, this.#pairs);
          break;
        case 15:
          this.#readStatus(wire, stop);
          break;
        default:
          wire.skip(stop);
      }
    }
    // From the halves: the difference of two times as doubles would lose the microseconds.
    this.durationMs = ((endHigh - startHigh) * 2 ** 32 + (endLow - startLow)) / 1e6;
  }

  #readStatus(wire: WireCursor, end: number): void {
    const stop = wire.enter(end);
    while (wire.next(stop)) {
      if (wire.field === 3 && wire.type === wireType.varint) this.statusCode = wire.varint();
      else wire.skip(stop);
    }
  }

  get traceId(): string {
    return hex(this.#body, this.#traceIdAt, this.#traceIdTo);
  }

  get spanId(): string {
    return hex(this.#body, this.#spanIdAt, this.#spanIdTo);
  }

  get parentSpanId(): string {
    return hex(this.#body, this.#parentAt, this.#parentTo);
  }

  attribute(key: string): Scalar | undefined {
    return find(this.#pairs, key);
  }

  get encoded(): Encoded {
    return { format: "protobuf", bytes: this.#body.subarray(this.#from, this.#to) };
  }
}
