import type { Encoded, ResourceRecord, Scalar } from "./records.ts";
import { type WireCursor, wireType } from "./wire.ts";

/** Keys and values in turn: a handful of them is searched faster than a Map is made. */
export type Pairs = Scalar[];

/** OpenTelemetry's SDKs stop at 128 attributes too. */
const MOST_PAIRS = 128;

export function find(pairs: Pairs, key: string): Scalar | undefined {
  for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === key) return pairs[i + 1];
  return undefined;
}

/**
 * Reads one KeyValue and appends it to `pairs` when it is wanted and its value is a scalar.
 *
 * @param wanted undefined wants every key
 */
export function readKeyValue(
  wire: WireCursor,
  end: number,
  wanted: ReadonlySet<string> | undefined,
  pairs: Pairs,
): void {
  const stop = wire.enter(end);
  let key = "";
  let value: Scalar | undefined;
  while (wire.next(stop)) {
    if (wire.field === 1) {
      key = wire.text(stop);
      if (wanted !== undefined && !wanted.has(key)) {
        // Protobuf writers put the key first, so this saves most values from being looked at.
        wire.position = stop;
        return;
      }
    } else if (wire.field === 2) value = readAnyValue(wire, stop);
    else wire.skip(stop);
  }
  if (value === undefined || pairs.length >= 2 * MOST_PAIRS) return;
  if (wanted === undefined || wanted.has(key)) pairs.push(key, value);
}

/** AnyValue: its string, bool, int or double; the last one set wins, as in protobuf's oneof. */
function readAnyValue(wire: WireCursor, end: number): Scalar | undefined {
  const stop = wire.enter(end);
  let value: Scalar | undefined;
  while (wire.next(stop)) {
    if (wire.field === 1) value = wire.text(stop);
    else if (wire.field === 2 && wire.type === wireType.varint) value = wire.varint() !== 0;
    else if (wire.field === 3 && wire.type === wireType.varint) value = wire.int64();
    else if (wire.field === 4) value = wire.double();
    else {
      if (wire.field >= 5 && wire.field <= 7) value = undefined;
      wire.skip(stop);
    }
  }
  return value;
}

/** The parts of a Resource message, gathered: two `resource` fields in one ResourceSpans are one resource. */
export class WireResource implements ResourceRecord {
  readonly #pairs: Pairs = [];
  readonly #parts: Uint8Array[] = [];

  read(wire: WireCursor, end: number, wanted: ReadonlySet<string>): void {
    const stop = wire.enter(end);
    this.#parts.push(wire.bytes.subarray(wire.position, stop));
    while (wire.next(stop)) {
      if (wire.field === 1) readKeyValue(wire, stop, wanted, this.#pairs);
      else wire.skip(stop);
    }
  }

  attribute(key: string): Scalar | undefined {
    return find(this.#pairs, key);
  }

  get encoded(): Encoded {
    const [first] = this.#parts;
    // Concatenated messages are one merged message (protobuf encoding, "Last One Wins").
    const bytes = this.#parts.length === 1 ? first! : new Uint8Array(Buffer.concat(this.#parts));
    return { format: "protobuf", bytes };
  }
}
