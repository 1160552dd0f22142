const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Longer ids are nobody's: what is shown of them is cut. */
const LONGEST_ID = 64;

/** Lower-case hex of `bytes` from `start` up to `end`. */
export function hex(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < Math.min(end, start + LONGEST_ID); at++) text += DIGITS[bytes[at]!];
  return text;
}
