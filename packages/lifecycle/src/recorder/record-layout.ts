import type { Region } from "./slot-file.ts";

/** First bytes of every record; the number is the layout's version. */
export const RECORD_MAGIC: Buffer = Buffer.from("holdfast-rec/01\n", "latin1");

let next = RECORD_MAGIC.length;

function region(slots: number, slotBytes: number): Region {
  const at = { offset: next, slots, slotBytes };
  next += slots * slotBytes;
  return at;
}

/** Where things stand in a record. Each region has one writer, the main thread or the watch thread. */
export interface RecordLayout {
  /** Main: who this process is. */
  identity: Region;
  /** Main: the exception that was not caught. */
  exception: Region;
  /** Main: the process ended in an orderly way. */
  end: Region;
  /** Main: how far the shutdown has come. */
  shutdown: Region;
  /** Watch: the last sign of life. */
  beat: Region;
  /** Watch: the incident that is open. */
  incident: Region;
  /** Watch: failed probes and stalls; slot 0 is the one that opened the incident, the others are a ring. */
  anomalies: Region;
  /** Main: spans that are open. */
  spans: Region;
}

/** Regions of two slots hold one value and are written by turns. The spans are last, so that a file is as short as it can be. */
export const layout: RecordLayout = {
  identity: region(1, 8_192),
  exception: region(1, 16_384),
  end: region(1, 1_024),
  shutdown: region(2, 4_096),
  beat: region(2, 256),
  incident: region(2, 512),
  anomalies: region(64, 512),
  spans: region(1_024, 1_024),
};

export const LARGEST_SLOT_BYTES = 16_384;
export const RECORD_BYTES: number = next;
