/** Longer strings (statements, stack traces, URLs with an id) hardly ever come again. */
const LONGEST_KEPT = 64;
/** A power of two. */
const SLOTS = 4096;

const decoder = new TextDecoder();

/**
 * Turns bytes into strings and remembers the short ones: names and attribute keys come a thousand times a request.
 *
 * One slot a hash, the newcomer takes it: the memory is bounded whatever arrives, and there is nothing to evict.
 */
export class StringTable {
  readonly #strings: string[] = Array.from({ length: SLOTS }, () => "");
  readonly #bytes: (Uint8Array | undefined)[] = Array.from({ length: SLOTS });

  /** The UTF-8 text of `bytes` from `start` up to `end`. */
  text(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start;
    if (length === 0) return "";
    if (length > LONGEST_KEPT) return decoder.decode(bytes.subarray(start, end));
    let hash = 0x811c9dc5; // FNV-1a
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#bytes[slot];
    if (known !== undefined && equal(known, bytes, start, length)) return this.#strings[slot]!;
    const text = decoder.decode(bytes.subarray(start, end));
    this.#bytes[slot] = bytes.slice(start, end);
    this.#strings[slot] = text;
    return text;
  }
}

function equal(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
