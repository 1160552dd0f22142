import type { LogFields, Logger, LogLevel } from "@holdfast/core";
import {
  type Context,
  context,
  isSpanContextValid,
  type Logger as OtelLogger,
  SeverityNumber,
  type SpanContext,
  trace,
} from "@opentelemetry/api";

const SEVERITIES: Readonly<Record<LogLevel, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

/** What one record carries at most: a log line must not be able to hold a megabyte in the queue. */
const MAX_FIELDS = 64;
const MAX_DEPTH = 4;
const MAX_TEXT = 4_096;

/**
 * Writes every line to `base`, with the active span's ids (the names are those of the OpenTelemetry specification
 * "Trace Context in non-OTLP Log Formats"), and emits those of `level` and above as OTLP log records.
 */
export function bridgedLogger(base: Logger, otel: OtelLogger, level: LogLevel): Logger {
  const write = (at: LogLevel) => (fields: LogFields, message: string) => {
    const active = context.active();
    const span = trace.getSpanContext(active);
    base[at](span && isSpanContextValid(span) ? { ...fields, ...idsOf(span) } : fields, message);
    if (SEVERITIES[at] >= SEVERITIES[level]) emit(otel, at, fields, message, active);
  };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function idsOf(span: SpanContext): LogFields {
  return { trace_id: span.traceId, span_id: span.spanId };
}

function emit(otel: OtelLogger, level: LogLevel, fields: LogFields, message: string, active: Context): void {
  const attributes: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields).slice(0, MAX_FIELDS)) {
    if (value instanceof Error && (key === "err" || key === "error")) {
      attributes["exception.type"] = value.name;
      attributes["exception.message"] = value.message.slice(0, MAX_TEXT);
      if (value.stack) attributes["exception.stacktrace"] = value.stack.slice(0, MAX_TEXT);
    } else {
      const plain = asAnyValue(value, 0);
      if (plain !== undefined) attributes[key] = plain;
    }
  }
  otel.emit({
    severityNumber: SEVERITIES[level],
    severityText: level,
    body: message.slice(0, MAX_TEXT),
    attributes: attributes as NonNullable<Parameters<OtelLogger["emit"]>[0]["attributes"]>,
    context: active,
  });
}

/** A copy that OTLP can carry, cut to size; undefined for what has no value. */
function asAnyValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return value.slice(0, MAX_TEXT);
    case "number":
    case "boolean":
      return value;
    case "bigint":
      return value.toString();
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null) return undefined;
  if (value instanceof Error) return `${value.name}: ${value.message}`.slice(0, MAX_TEXT);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  if (depth >= MAX_DEPTH) return "[deeper than 4 levels]";
  if (Array.isArray(value)) return value.slice(0, MAX_FIELDS).map((item) => asAnyValue(item, depth + 1) ?? null);
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value).slice(0, MAX_FIELDS)) {
    const plain = asAnyValue(item, depth + 1);
    if (plain !== undefined) copy[key] = plain;
  }
  return copy;
}
