import { closeSync, constants, openSync } from "node:fs";
import { LARGEST_SLOT_BYTES, layout } from "../recorder/record-layout.ts";
import type { Anomaly, Beat, Incident } from "../recorder/record-types.ts";
import { SlotWriter } from "../recorder/slot-file.ts";

/** The watch thread's part of the record: the last sign of life, the incident, failed probes and stalls. */
export interface WatchRecord {
  beat(beat: Beat): void;
  incident(incident: Incident | null): void;
  anomaly(slot: number, anomaly: Anomaly): void;
  close(): void;
}

export const ANOMALY_SLOTS: number = layout.anomalies.slots;

/** Says nothing of failures: the main thread writes to the same file and reports them. */
export function openWatchRecord(path: string | null): WatchRecord {
  let fd: number | null = null;
  let writer: SlotWriter;
  const close = (): void => {
    if (fd !== null) closeSync(fd);
    fd = null;
  };
  const attempt = (write: () => void): void => {
    if (fd === null) return;
    try {
      write();
    } catch {
      close();
    }
  };
  try {
    if (path !== null) fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    // Removed between the main thread's look and ours.
  }
  if (fd !== null) writer = new SlotWriter(fd, LARGEST_SLOT_BYTES);
  return {
    beat: (beat) => attempt(() => void writer.writeNext(layout.beat, beat)),
    incident: (incident) => attempt(() => void writer.writeNext(layout.incident, incident)),
    anomaly: (slot, anomaly) =>
      attempt(() => {
        if (writer.write(layout.anomalies, slot, anomaly)) return;
        writer.write(layout.anomalies, slot, { ...anomaly, reason: anomaly.reason?.slice(0, 40) });
      }),
    close,
  };
}
