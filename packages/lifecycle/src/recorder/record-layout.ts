import type { Region } from "./slot-file.ts";

/** First bytes of every record; the number is the layout's version. */
export const RECORD_MAGIC: Buffer = Buffer.from("holdfast-rec/01\n", "latin1");

let next = RECORD_MAGIC.length;

function region(slots: number, slotBytes: number): Region {
  const at = { offset: next, slots, slotBytes };
  next += slots * slotBytes;
  return at;
}

/**
 * Where things stand in a record. Each region has one writer, the main thread or the watch thread. Regions of two slots
 * hold one value and are written by turns.
 */
export const layout = {
  /** Main: who this process is. */
  identity: region(1, 8_192),
  /** Main: the exception that was not caught. */
  exception: region(1, 16_384),
  /** Main: the process ended in an orderly way. */
  end: region(1, 1_024),
  /** Main: how far the shutdown has come. */
  shutdown: region(2, 4_096),
  /** Watch: the last sign of life. */
  beat: region(2, 256),
  /** Watch: the incident that is open. */
  incident: region(2, 512),
  /** Watch: failed probes and stalls; slot 0 is the one that opened the incident, the others are a ring. */
  anomalies: region(64, 512),
  /** Main: spans that are open. Last, so that a file is only as long as the most spans that were ever open at once. */
  spans: region(1_024, 1_024),
} as const;

export const LARGEST_SLOT_BYTES = 16_384;
export const RECORD_BYTES: number = next;
