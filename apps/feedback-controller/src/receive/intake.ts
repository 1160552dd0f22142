import { type Logger, messageOf } from "@holdfast/core";
import type { Forwarder } from "../forward/forwarder.ts";
import { isWantedMetric, type Observer, wantedResource, wantedSpan } from "../observe/observer.ts";
import {
  type Format,
  type LogRecord,
  type PointRecord,
  type Reading,
  readLogsJson,
  readMetricsJson,
  readTracesJson,
  type SpanRecord,
  scanLogs,
  scanMetrics,
  scanTraces,
} from "../otlp/index.ts";
import type { TraceStore } from "../store/trace-store.ts";

export type Signal = "traces" | "metrics" | "logs";
export const signals: readonly Signal[] = ["traces", "metrics", "logs"];

export interface Batch {
  signal: Signal;
  format: Format;
  /** The message, decompressed. */
  body: Uint8Array;
  /** What is passed on: the bytes as they came, and how they were compressed. */
  original: Uint8Array;
  encoding: "gzip" | undefined;
}

export interface IntakeOptions {
  observer: Observer;
  traces: TraceStore;
  forwarder: Forwarder;
  logger: Logger;
}

/** Why a request was turned away, for the counts. */
export type Refusal = "malformed" | "too-large" | "busy" | "unsupported";

/** Where both receivers bring what they took: it is read, kept and passed on. */
export class Intake {
  readonly #options: IntakeOptions;
  /** Spans, points and log records taken. */
  readonly accepted: Record<Signal, number> = { traces: 0, metrics: 0, logs: 0 };
  /** Requests turned away. */
  readonly refused: Record<Refusal, number> = { malformed: 0, "too-large": 0, busy: 0, unsupported: 0 };

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /**
   * Takes a batch in whole or not at all.
   *
   * @throws RangeError when the body is not what it says that it is
   */
  accept(batch: Batch): void {
    const reading = read(batch);
    this.accepted[batch.signal] += reading.items;
    const { observer, forwarder } = this.#options;
    forwarder.offer(batch, reading.items);
    if (reading.signal === "metrics") observer.points(reading.records);
    else if (reading.signal === "logs") observer.logs(reading.records);
    else {
      observer.spans(reading.records);
      this.#keep(reading.records, batch.body.length);
    }
  }

  #keep(spans: readonly SpanRecord[], bodyBytes: number): void {
    try {
      this.#options.traces.keep(spans, bodyBytes);
    } catch (error) {
      // What was counted and passed on must not be sent again because a disk is full.
      this.#options.logger.warn({ error: messageOf(error) }, "traces not kept");
    }
  }
}

type AnyReading =
  | ({ signal: "traces" } & Reading<SpanRecord>)
  | ({ signal: "metrics" } & Reading<PointRecord>)
  | ({ signal: "logs" } & Reading<LogRecord>);

const wanted = { resource: wantedResource, span: wantedSpan, metric: isWantedMetric };

function read({ signal, format, body }: Batch): AnyReading {
  const json = format === "json";
  switch (signal) {
    case "traces":
      return { signal, ...(json ? readTracesJson : scanTraces)(body, wanted) };
    case "metrics":
      return { signal, ...(json ? readMetricsJson : scanMetrics)(body, wanted) };
    case "logs":
      return { signal, ...(json ? readLogsJson : scanLogs)(body, wanted) };
  }
}
