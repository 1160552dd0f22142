import { StringTable } from "./string-table.ts";

/** Wire types (protobuf encoding, "Message Structure"). Groups, 3 and 4, are not used by OTLP and are refused. */
export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Names are the same from request to request, so one table serves all. */
const sharedStrings = new StringTable();

const TWO_32 = 2 ** 32;

/**
 * A cursor over protobuf's wire format that copies nothing. Every read either moves forward inside the buffer or throws
 * RangeError; no read loops, recurses or allocates by a length that the sender claims.
 *
 * A message is walked with `while (wire.next(end)) switch (wire.field) { ... default: wire.skip(end); }`, where `end` is
 * what {@link WireCursor.enter} gave for it.
 */
export class WireCursor {
  readonly bytes: Uint8Array;
  position = 0;
  /** Number of the field that `next` found. */
  field = 0;
  /** Wire type of the field that `next` found. */
  type = 0;
  /** Low and high half of what `fixed64` read last, both unsigned. */
  low = 0;
  high = 0;
  readonly #view: DataView;
  readonly #strings: StringTable;

  constructor(bytes: Uint8Array, strings: StringTable = sharedStrings) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#strings = strings;
  }

  /** Reads the next field's tag. False at the message's end. */
  next(end: number): boolean {
    if (this.position >= end) {
      if (this.position > end) throw new RangeError("a field is longer than the message that holds it");
      return false;
    }
    const tag = this.#varint32();
    this.field = tag >>> 3;
    this.type = tag & 7;
    if (this.field === 0) throw new RangeError("a field has the number 0");
    return true;
  }

  /** Steps into a length-delimited field and returns where it ends, which is never beyond `end`. */
  enter(end: number): number {
    if (this.type !== wireType.bytes) throw new RangeError(`field ${this.field} is not length-delimited`);
    const length = this.#varint32();
    const stop = this.position + length;
    if (stop > end) throw new RangeError(`field ${this.field} is longer than the message that holds it`);
    return stop;
  }

  /** Steps over the field that `next` found. */
  skip(end: number): void {
    switch (this.type) {
      case wireType.varint:
        this.varint();
        return;
      case wireType.fixed64:
        this.#forward(8);
        return;
      case wireType.bytes:
        this.position = this.enter(end);
        return;
      case wireType.fixed32:
        this.#forward(4);
        return;
      default:
        throw new RangeError(`field ${this.field} has the unknown wire type ${this.type}`);
    }
  }

  /** An unsigned varint; beyond 2^53 it is rounded. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new RangeError("a varint is longer than 10 bytes");
  }

  /** A varint that holds an int64 in two's complement; beyond 2^53 it is rounded. */
  int64(): number {
    let value = 0n;
    let shift = 0n;
    const start = this.position;
    const unsigned = this.varint();
    if (unsigned <= Number.MAX_SAFE_INTEGER) return unsigned;
    for (let at = start; at < this.position; at++, shift += 7n) value |= BigInt(this.bytes[at]! & 0x7f) << shift;
    return Number(BigInt.asIntN(64, value));
  }

  /** A fixed64 or sfixed64 as `low` and `high`: nanoseconds do not fit a double. */
  fixed64(): void {
    if (this.type !== wireType.fixed64) throw new RangeError(`field ${this.field} is not a fixed64`);
    const at = this.#forward(8);
    this.low = this.#view.getUint32(at, true);
    this.high = this.#view.getUint32(at + 4, true);
  }

  unsigned64(): number {
    this.fixed64();
    return this.high * TWO_32 + this.low;
  }

  signed64(): number {
    this.fixed64();
    return (this.high | 0) * TWO_32 + this.low;
  }

  double(): number {
    if (this.type !== wireType.fixed64) throw new RangeError(`field ${this.field} is not a double`);
    return this.#view.getFloat64(this.#forward(8), true);
  }

  /** A string; one that came before costs no new one. Invalid UTF-8 becomes U+FFFD: a reader is not a validator. */
  text(end: number): string {
    const stop = this.enter(end);
    const text = this.#strings.text(this.bytes, this.position, stop);
    this.position = stop;
    return text;
  }

  /** The bytes of a length-delimited field, not copied. */
  slice(end: number): Uint8Array {
    const stop = this.enter(end);
    const slice = this.bytes.subarray(this.position, stop);
    this.position = stop;
    return slice;
  }

  #byte(): number {
    if (this.position >= this.bytes.length) throw new RangeError("the message ends in the middle of a field");
    return this.bytes[this.position++]!;
  }

  #forward(count: number): number {
    const at = this.position;
    if (at + count > this.bytes.length) throw new RangeError("the message ends in the middle of a field");
    this.position = at + count;
    return at;
  }

  /** Tags and lengths: most are one byte, and none may pass 32 bits. */
  #varint32(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    this.position--;
    const value = this.varint();
    if (value >= TWO_32) throw new RangeError("a tag or length is larger than 32 bits");
    return value;
  }
}

/** The time that `fixed64` read last, in milliseconds. */
export function milliseconds(wire: WireCursor): number {
  return (wire.high * TWO_32 + wire.low) / 1e6;
}
