const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * Reads a duration: a number with one unit of `ms`, `s`, `m` or `h`, such as `250ms` or `1.5s`.
 *
 * @returns milliseconds
 * @throws RangeError saying what was given and what would be right
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (!match)
    throw new RangeError(
      `"${text}" is not a duration: write a number and a unit, such as "250ms", "1.5s", "2m" or "1h"`,
    );
  return Number(match[1]) * UNIT_MS[match[2]!]!;
}

/** Writes milliseconds in the largest unit that keeps the number whole: 1500 is "1500ms", 2000 is "2s". */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"]) {
    const size = UNIT_MS[unit]!;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
