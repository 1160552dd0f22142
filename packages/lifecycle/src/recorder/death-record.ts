import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { layout, RECORD_BYTES, RECORD_MAGIC } from "./record-layout.ts";
import type {
  Anomaly,
  Beat,
  Incident,
  RecordedEnd,
  RecordedException,
  RecordedIdentity,
  RecordedShutdown,
  RecordedSpan,
} from "./record-types.ts";
import { newestSlot, type Region, readSlots } from "./slot-file.ts";

/** What a process left on disk. */
export interface DeathRecord {
  identity: RecordedIdentity;
  beat?: Beat | undefined;
  incident?: Incident | undefined;
  anomalies: Anomaly[];
  exception?: RecordedException | undefined;
  shutdown?: RecordedShutdown | undefined;
  end?: RecordedEnd | undefined;
  spans: RecordedSpan[];
  /** Whether Node's own fatal-error report says that the heap was exhausted. */
  heapOom: boolean;
  /** How many slots could not be read. */
  damaged: number;
}

/**
 * @returns null when the file is no record, or one of another layout, or does not say whose it is
 * @throws what the file system throws
 */
export function readRecord(path: string): DeathRecord | null {
  return parseRecord(readBounded(path, RECORD_BYTES));
}

export function parseRecord(file: Buffer): DeathRecord | null {
  if (!file.subarray(0, RECORD_MAGIC.length).equals(RECORD_MAGIC)) return null;
  let damaged = 0;
  const slotsOf = (region: Region) => {
    const read = readSlots(file, region);
    damaged += read.damaged;
    return read.slots;
  };
  const newest = <T>(region: Region) => newestSlot(slotsOf(region))?.value as T | undefined;
  const all = <T>(region: Region) => slotsOf(region).map((slot) => slot.value as T);
  const identity = newest<RecordedIdentity>(layout.identity);
  if (!identity) return null;
  return {
    identity,
    beat: newest<Beat>(layout.beat),
    // An incident that was closed is written as null over the open one.
    incident: newest<Incident | null>(layout.incident) ?? undefined,
    anomalies: all<Anomaly>(layout.anomalies).sort((a, b) => a.startMs - b.startMs),
    exception: newest<RecordedException>(layout.exception),
    shutdown: newest<RecordedShutdown>(layout.shutdown),
    end: newest<RecordedEnd>(layout.end),
    spans: all<RecordedSpan>(layout.spans),
    heapOom: false,
    damaged,
  };
}

/** The report's header, which names the event, stands at its start; its heap statistics and handles are of no use here. */
const REPORT_HEAD_BYTES = 16_384;

/** Whether Node's fatal-error report tells of an exhausted heap. No report, or an unreadable one, tells nothing. */
export function reportsHeapOom(path: string): boolean {
  try {
    const head = readBounded(path, REPORT_HEAD_BYTES).toString("utf8");
    return /"trigger":\s*"OOMError"/.test(head) || /"event":\s*"[^"]*heap out of memory/.test(head);
  } catch {
    return false;
  }
}

function readBounded(path: string, mostBytes: number): Buffer {
  // Neither a link nor a pipe: whoever put one there must not choose what is read, or whether start-up waits.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) return Buffer.alloc(0);
    const buffer = Buffer.alloc(Math.min(mostBytes, fstatSync(fd).size));
    let length = 0;
    while (length < buffer.length) {
      const read = readSync(fd, buffer, length, buffer.length - length, length);
      if (read === 0) break;
      length += read;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
