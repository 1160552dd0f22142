import { createHash } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { attr, type Clock } from "@holdfast/core";
import {
  decodeResource,
  decodeSpan,
  type Format,
  type FullAttributes,
  type ResourceRecord,
  type SpanDetails,
  type SpanRecord,
} from "../otlp/index.ts";
import { TraceSampler } from "./trace-sampler.ts";

export interface TraceStoreOptions {
  database: DatabaseSync;
  clock: Clock;
  /** Traces kept at most. */
  maxTraces: number;
  /** Bytes of spans kept at most. */
  maxBytes: number;
  /** Spans kept a second; above it whole traces are left out by their id. */
  spansPerSecond: number;
}

export interface TraceSummary {
  traceId: string;
  rootService: string | null;
  rootName: string | null;
  /** Milliseconds since the epoch. */
  startMs: number;
  durationMs: number;
  spans: number;
  errors: number;
}

export interface StoredSpan extends SpanDetails {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  service: string;
  name: string;
  kind: string;
  status: string;
  startMs: number;
  durationMs: number;
  resource: FullAttributes;
}

const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES = ["unset", "ok", "error"];

/** A span that is larger tells less than it costs. */
const LARGEST_SPAN_BYTES = 64 * 1024;
/** A trace that never ends must not push out all the others. */
const MOST_SPANS_OF_A_TRACE = 2_000;
/** What waits for one transaction at most: spans, and bytes of the requests that they came in and keep in memory. */
const BATCH_SPANS = 1_000;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Resources without a span are given up when there are more than this. */
const MOST_RESOURCES = 2_000;

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/;

/** Recent traces, each span as it arrived. The oldest trace goes first. */
export class TraceStore {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #maxTraces: number;
  readonly #maxBytes: number;
  readonly #sampler: TraceSampler;
  readonly #insertSpan: StatementSync;
  readonly #upsertTrace: StatementSync;
  readonly #findResource: StatementSync;
  readonly #insertResource: StatementSync;
  #waiting: SpanRecord[] = [];
  #waitingBytes = 0;
  /** Ids of resources that this transaction has met. */
  #resources = new Map<ResourceRecord, number>();
  #traces = 0;
  #bytes = 0;
  #leftOut = 0;

  constructor(options: TraceStoreOptions) {
    const { database } = options;
    this.#database = database;
    this.#clock = options.clock;
    this.#maxTraces = options.maxTraces;
    this.#maxBytes = options.maxBytes;
    this.#sampler = new TraceSampler(options.spansPerSecond);
    this.#insertSpan = database.prepare(
      `INSERT OR IGNORE INTO spans (trace_id, span_id, parent_span_id, resource, service, name, kind, status, start_ms, duration_ms, format, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#upsertTrace = database.prepare(
      `INSERT INTO traces (trace_id, seen_ms, start_ms, end_ms, spans, errors, bytes, root_service, root_name)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
       ON CONFLICT (trace_id) DO UPDATE SET
         seen_ms = ?2, start_ms = min(start_ms, ?3), end_ms = max(end_ms, ?4), spans = spans + ?5, errors = errors + ?6,
         bytes = bytes + ?7, root_service = coalesce(?8, root_service), root_name = coalesce(?9, root_name)`,
    );
    this.#findResource = database.prepare("SELECT id FROM resources WHERE digest = ?");
    this.#insertResource = database.prepare("INSERT INTO resources (digest, format, body) VALUES (?, ?, ?)");
    this.#count();
  }

  /** How many traces and bytes are kept, the share of traces that is, and how many spans were left out. */
  get counts(): { traces: number; bytes: number; share: number; leftOut: number } {
    return { traces: this.#traces, bytes: this.#bytes, share: this.#sampler.share, leftOut: this.#leftOut };
  }

  /**
   * Takes what is worth keeping; it is written with the next `flush`.
   *
   * @param bodyBytes size of the request that held the spans
   */
  keep(spans: readonly SpanRecord[], bodyBytes: number): void {
    const nowMs = this.#clock.monotonic();
    for (const span of spans) {
      const { traceId } = span;
      // Stories are few and told once: never left out.
      const story = span.name.startsWith("holdfast.") || span.name.startsWith("lifecycle.");
      const valid = TRACE_ID.test(traceId) && SPAN_ID.test(span.spanId) && Number.isFinite(span.durationMs);
      if (!valid || !(story || this.#sampler.keeps(traceId, nowMs))) this.#leftOut++;
      else this.#waiting.push(span);
    }
    this.#waitingBytes += bodyBytes;
    if (this.#waiting.length >= BATCH_SPANS || this.#waitingBytes >= BATCH_BYTES) this.flush();
  }

  /**
   * Writes what waits, in one transaction.
   *
   * @throws what SQLite throws; what waited is given up then, so that a full disk does not fill the memory too
   */
  flush(): void {
    const spans = this.#waiting;
    this.#waitingBytes = 0;
    if (spans.length === 0) return;
    this.#waiting = [];
    this.#resources = new Map();
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const [traceId, own] of Map.groupBy(spans, (span) => span.traceId)) this.#write(traceId, own);
      this.#evict();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#leftOut += spans.length;
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#count();
      throw error;
    }
  }

  /** The latest traces, newest first. */
  list(limit: number): TraceSummary[] {
    this.flush();
    const rows = this.#database.prepare("SELECT * FROM traces ORDER BY seen_ms DESC, trace_id LIMIT ?").all(limit);
    return rows.map((row) => ({
      traceId: row.trace_id as string,
      rootService: row.root_service as string | null,
      rootName: row.root_name as string | null,
      startMs: row.start_ms as number,
      durationMs: (row.end_ms as number) - (row.start_ms as number),
      spans: row.spans as number,
      errors: row.errors as number,
    }));
  }

  /** A trace's spans by their start; empty when it is not kept. */
  read(traceId: string): StoredSpan[] {
    this.flush();
    const rows = this.#database
      .prepare(
        `SELECT spans.*, resources.format AS resource_format, resources.body AS resource_body
         FROM spans LEFT JOIN resources ON resources.id = spans.resource WHERE trace_id = ? ORDER BY start_ms, span_id`,
      )
      .all(traceId);
    return rows.map((row) => ({
      traceId: row.trace_id as string,
      spanId: row.span_id as string,
      parentSpanId: row.parent_span_id as string,
      service: row.service as string,
      name: row.name as string,
      kind: KINDS[row.kind as number] ?? "unspecified",
      status: STATUSES[row.status as number] ?? "unset",
      startMs: row.start_ms as number,
      durationMs: row.duration_ms as number,
      ...decodeSpan({ format: row.format as Format, bytes: row.body as Uint8Array }),
      resource:
        row.resource_body === null
          ? {}
          : decodeResource({ format: row.resource_format as Format, bytes: row.resource_body as Uint8Array }),
    }));
  }

  #write(traceId: string, spans: readonly SpanRecord[]): void {
    const kept = this.#database.prepare("SELECT spans FROM traces WHERE trace_id = ?").get(traceId);
    let room = MOST_SPANS_OF_A_TRACE - ((kept?.spans as number | undefined) ?? 0);
    let count = 0;
    let errors = 0;
    let bytes = 0;
    let startMs = Number.POSITIVE_INFINITY;
    let endMs = Number.NEGATIVE_INFINITY;
    let root: SpanRecord | undefined;
    for (const span of spans) {
      const body = span.encoded;
      if (room <= 0 || body.bytes.length > LARGEST_SPAN_BYTES) {
        this.#leftOut++;
        continue;
      }
      // A sender that heard no answer sends again: the same span is not counted twice.
      if (this.#insert(traceId, span) === 0) continue;
      room--;
      count++;
      bytes += body.bytes.length;
      if (span.statusCode === 2) errors++;
      if (span.parentSpanId === "") root = span;
      startMs = Math.min(startMs, span.startMs);
      endMs = Math.max(endMs, span.startMs + span.durationMs);
    }
    if (count === 0) return;
    const seenMs = Math.trunc(this.#clock.now());
    const rootService = root === undefined ? null : serviceOf(root);
    this.#upsertTrace.run(traceId, seenMs, startMs, endMs, count, errors, bytes, rootService, root?.name ?? null);
    if (kept === undefined) this.#traces++;
    this.#bytes += bytes;
  }

  #insert(traceId: string, span: SpanRecord): number {
    const { format, bytes } = span.encoded;
    const { changes } = this.#insertSpan.run(
      traceId,
      span.spanId,
      span.parentSpanId,
      this.#resource(span),
      serviceOf(span),
      span.name.slice(0, 500),
      small(span.kind),
      small(span.statusCode),
      span.startMs,
      span.durationMs,
      format,
      bytes,
    );
    return Number(changes);
  }

  #resource(span: SpanRecord): number {
    const known = this.#resources.get(span.resource);
    if (known !== undefined) return known;
    const { format, bytes } = span.resource.encoded;
    const digest = createHash("sha256").update(bytes).digest();
    const found = this.#findResource.get(digest)?.id as number | undefined;
    const id = found ?? Number(this.#insertResource.run(digest, format, bytes).lastInsertRowid);
    this.#resources.set(span.resource, id);
    return id;
  }

  #evict(): void {
    if (this.#traces <= this.#maxTraces && this.#bytes <= this.#maxBytes) return;
    // A twentieth more than must be, so that not every batch has to.
    let traces = this.#traces - this.#maxTraces * 0.95;
    let bytes = this.#bytes - this.#maxBytes * 0.95;
    const oldest = this.#database.prepare("SELECT trace_id, bytes FROM traces ORDER BY seen_ms, trace_id").iterate();
    const gone: string[] = [];
    for (const row of oldest) {
      if (traces <= 0 && bytes <= 0) break;
      gone.push(row.trace_id as string);
      traces--;
      bytes -= row.bytes as number;
      this.#traces--;
      this.#bytes -= row.bytes as number;
    }
    const spans = this.#database.prepare("DELETE FROM spans WHERE trace_id = ?");
    const trace = this.#database.prepare("DELETE FROM traces WHERE trace_id = ?");
    for (const traceId of gone) {
      spans.run(traceId);
      trace.run(traceId);
    }
    const { count } = this.#database.prepare("SELECT count(*) AS count FROM resources").get() as { count: number };
    if (count > MOST_RESOURCES)
      this.#database.exec("DELETE FROM resources WHERE id NOT IN (SELECT DISTINCT resource FROM spans)");
  }

  #count(): void {
    const row = this.#database.prepare("SELECT count(*) AS traces, total(bytes) AS bytes FROM traces").get();
    this.#traces = row?.traces as number;
    this.#bytes = row?.bytes as number;
  }
}

function serviceOf(span: SpanRecord): string {
  return String(span.resource.attribute(attr.serviceName) ?? "").slice(0, 200);
}

/** Enums come from outside as any number. */
function small(value: number): number {
  return Number.isInteger(value) && value >= 0 && value < 128 ? value : 0;
}
