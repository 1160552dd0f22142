import { TraceFlags } from "@opentelemetry/api";
import type { LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord } from "@opentelemetry/sdk-logs";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { ExportQueue } from "./export-queue.ts";

/** Puts sampled spans into the queue. The queue belongs to whoever made it: OpenTelemetry can't close it from here. */
export function spanProcessor(queue: ExportQueue<ReadableSpan>): SpanProcessor {
  return {
    onStart() {},
    onEnd(span) {
      if (span.spanContext().traceFlags & TraceFlags.SAMPLED) queue.add(span);
    },
    forceFlush: () => queue.flush(),
    shutdown: () => queue.flush(),
  };
}

/** Puts log records into the queue. */
export function logRecordProcessor(queue: ExportQueue<ReadableLogRecord>): LogRecordProcessor {
  return {
    onEmit(record: ReadWriteLogRecord) {
      queue.add(record);
    },
    forceFlush: () => queue.flush(),
    shutdown: () => queue.flush(),
  };
}
