import { writeSync } from "node:fs";
import { crc32 } from "node:zlib";

/** Slots of one size, one after the other, somewhere in a file. */
export interface Region {
  offset: number;
  slots: number;
  slotBytes: number;
}

export interface Slot {
  index: number;
  /** Grows with every write of one writer, so that the newest of a region can be told. */
  sequence: number;
  value: unknown;
}

/** Length of the payload, sequence, CRC-32 of the payload seeded with the sequence; each 4 bytes, little-endian. */
const HEADER_BYTES = 12;

/**
 * Writes JSON into slots of a file with one pwrite each: what was written survives the process, however it ends, without
 * fsync, because the page cache is the kernel's. A write torn by the end is found out by its checksum.
 */
export class SlotWriter {
  readonly #fd: number;
  readonly #buffer: Buffer;
  readonly #empty = Buffer.alloc(4);
  readonly #lastIndex = new Map<Region, number>();
  #sequence = 0;

  constructor(fd: number, largestSlotBytes: number) {
    this.#fd = fd;
    this.#buffer = Buffer.alloc(largestSlotBytes);
  }

  /**
   * @returns false, and nothing was written, when the value does not fit
   * @throws what the file system throws
   */
  write(region: Region, index: number, value: unknown): boolean {
    const json = JSON.stringify(value);
    // A JavaScript character takes 3 bytes of UTF-8 at most, so most values need no second look at their length.
    const room = region.slotBytes - HEADER_BYTES;
    if (json.length * 3 > room && Buffer.byteLength(json) > room) return false;
    const length = this.#buffer.write(json, HEADER_BYTES, "utf8");
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#buffer.writeUInt32LE(length, 0);
    this.#buffer.writeUInt32LE(this.#sequence, 4);
    this.#buffer.writeUInt32LE(crc32(this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + length), this.#sequence), 8);
    writeSync(this.#fd, this.#buffer, 0, HEADER_BYTES + length, positionOf(region, index));
    return true;
  }

  /** Writes to the region's slots by turns, so that the value before survives a write that is torn. */
  writeNext(region: Region, value: unknown): boolean {
    const index = ((this.#lastIndex.get(region) ?? -1) + 1) % region.slots;
    this.#lastIndex.set(region, index);
    return this.write(region, index, value);
  }

  clear(region: Region, index: number): void {
    writeSync(this.#fd, this.#empty, 0, this.#empty.length, positionOf(region, index));
  }
}

function positionOf(region: Region, index: number): number {
  return region.offset + index * region.slotBytes;
}

/** What can be read of a region; slots that fail their checksum are counted and left out. */
export function readSlots(file: Buffer, region: Region): { slots: Slot[]; damaged: number } {
  const slots: Slot[] = [];
  let damaged = 0;
  for (let index = 0; index < region.slots; index++) {
    const start = positionOf(region, index);
    // The file ends after its last written slot.
    if (start + HEADER_BYTES > file.length) break;
    const length = file.readUInt32LE(start);
    if (length === 0) continue;
    const sequence = file.readUInt32LE(start + 4);
    const payload = file.subarray(start + HEADER_BYTES, start + HEADER_BYTES + length);
    if (
      length > region.slotBytes - HEADER_BYTES ||
      payload.length < length ||
      crc32(payload, sequence) !== file.readUInt32LE(start + 8)
    ) {
      damaged++;
      continue;
    }
    try {
      slots.push({ index, sequence, value: JSON.parse(payload.toString("utf8")) });
    } catch {
      damaged++;
    }
  }
  return { slots, damaged };
}

/** The slot written last, if any can be read. */
export function newestSlot(slots: readonly Slot[]): Slot | undefined {
  return slots.reduce<Slot | undefined>(
    (newest, slot) => (newest && newest.sequence > slot.sequence ? newest : slot),
    undefined,
  );
}
