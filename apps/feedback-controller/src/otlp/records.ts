/** A value that the readers hand out; arrays, maps and bytes are left where they are. */
export type Scalar = string | number | boolean;

/** One message exactly as it arrived, so that it can be kept and read in full later. */
export interface Encoded {
  format: Format;
  bytes: Uint8Array;
}

/** How a request is written: OTLP's binary protobuf, or its JSON mapping. */
export type Format = "protobuf" | "json";

/** Who sent a record: the attributes that were asked for, of one OTLP resource. */
export interface ResourceRecord {
  attribute(key: string): Scalar | undefined;
  /** A Resource message. Several fields of one ResourceSpans are one resource (protobuf merges them). */
  readonly encoded: Encoded;
}

export interface SpanRecord {
  readonly resource: ResourceRecord;
  /** Lower-case hex; of 32 digits when the sender kept to the protocol. */
  readonly traceId: string;
  /** Lower-case hex, 16 digits. */
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  /** 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  /** Milliseconds since the epoch, to about a quarter of a microsecond. */
  readonly startMs: number;
  /** Milliseconds; negative when the sender's clock went back. */
  readonly durationMs: number;
  /** 0 unset, 1 ok, 2 error. */
  readonly statusCode: number;
  /** One of the attributes that were asked for. */
  attribute(key: string): Scalar | undefined;
  /** A Span message. */
  readonly encoded: Encoded;
}

/** 1 delta, 2 cumulative (AggregationTemporality); gauges have 0. */
export type Temporality = 0 | 1 | 2;

/** One data point of a gauge, a sum or a histogram (explicit or exponential). */
export interface PointRecord {
  readonly resource: ResourceRecord;
  readonly metric: string;
  readonly kind: "gauge" | "sum" | "histogram";
  readonly temporality: Temporality;
  /** Milliseconds since the epoch; 0 when the sender gave none. */
  readonly startMs: number;
  readonly timeMs: number;
  /** A gauge's or sum's value; a histogram's sum. */
  readonly value: number;
  /** How many values a histogram holds; 0 for the others. */
  readonly count: number;
  /** All scalar attributes of the point, in the sender's order. */
  readonly attributes: ReadonlyMap<string, Scalar>;
}

export interface LogRecord {
  readonly resource: ResourceRecord;
  /** 1 to 24 as OpenTelemetry numbers them (17 and up: error); 0 unspecified. */
  readonly severity: number;
}

/** What one request held. `items` counts spans, points or log records, also those that were skipped. */
export interface Reading<Item> {
  items: number;
  records: Item[];
}

export const noAttributes: ReadonlyMap<string, Scalar> = new Map();

/**
 * The most resources, spans, points or log records that one request may hold. An honest request of 20 MiB holds some
 * 40,000; without this limit, 20 MiB of empty messages would become ten million objects.
 */
export const MAX_ITEMS = 250_000;

/** Counts what a request makes us keep. */
export class ItemLimit {
  #left: number = MAX_ITEMS;

  /** @throws RangeError when a request holds more than {@link MAX_ITEMS} */
  take(): void {
    if (this.#left-- === 0) throw new RangeError(`the request holds more than ${MAX_ITEMS} items`);
  }
}
