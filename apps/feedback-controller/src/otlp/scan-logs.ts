import { WireResource } from "./attributes.ts";
import { ItemLimit, type LogRecord, type Reading } from "./records.ts";
import { WireCursor, wireType } from "./wire.ts";

export interface LogScanOptions {
  /** Attributes of the resource that are read. */
  resource: ReadonlySet<string>;
}

/**
 * Reads an ExportLogsServiceRequest: who said how severe a thing. Bodies are stepped over.
 *
 * @throws RangeError when the bytes are not protobuf's wire format, or hold more items than a request may
 */
export function scanLogs(body: Uint8Array, options: LogScanOptions): Reading<LogRecord> {
  const wire = new WireCursor(body);
  const records: LogRecord[] = [];
  const limit = new ItemLimit();
  while (wire.next(body.length)) {
    if (wire.field === 1) readResourceLogs(wire, body.length, options, limit, records);
    else wire.skip(body.length);
  }
  return { items: records.length, records };
}

function readResourceLogs(
  wire: WireCursor,
  end: number,
  options: LogScanOptions,
  limit: ItemLimit,
  records: LogRecord[],
): void {
  const stop = wire.enter(end);
  limit.take();
  const start = wire.position;
  const resource = new WireResource();
  while (wire.next(stop)) {
    if (wire.field === 1) resource.read(wire, stop, options.resource);
    else wire.skip(stop);
  }
  wire.position = start;
  while (wire.next(stop)) {
    if (wire.field !== 2) {
      wire.skip(stop);
      continue;
    }
    const scopeEnd = wire.enter(stop);
    while (wire.next(scopeEnd)) {
      if (wire.field !== 2) {
        wire.skip(scopeEnd);
        continue;
      }
      limit.take();
      records.push({ resource, severity: readSeverity(wire, scopeEnd) });
    }
  }
}

function readSeverity(wire: WireCursor, end: number): number {
  const stop = wire.enter(end);
  let severity = 0;
  while (wire.next(stop)) {
    if (wire.field === 2 && wire.type === wireType.varint) severity = wire.varint();
    else wire.skip(stop);
  }
  return severity;
}
