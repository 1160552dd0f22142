/** How much of an open is left to chance: an open lasts between 80 and 100 % of what the doubling says. */
const JITTER = 0.2;

/**
 * How long an open lasts: `openMs` doubled with every open in a row, up to `maxOpenMs`, less up to a fifth, so that many
 * breakers that opened together do not try again together.
 *
 * Source: Envoy's outlier detection (base ejection time times the number of ejections, capped), with doubling.
 *
 * @param opens opens in a row, this one included, from 1
 * @param draw a random number from 0 to 1
 * @returns milliseconds, never more than `maxOpenMs`
 */
export function openTimeMs(opens: number, limits: { openMs: number; maxOpenMs: number }, draw: number): number {
  const ceilingMs = Math.min(limits.maxOpenMs, limits.openMs * 2 ** Math.min(opens - 1, 40));
  return ceilingMs * (1 - JITTER * draw);
}
