import { numberOption, type Random } from "@holdfast/core";

/** Decides how long to wait before the next attempt. Pure: the caller brings the randomness. */
export interface Backoff {
  /**
   * @param attempt how many attempts were made, from 1
   * @returns the wait in milliseconds, 0 or more
   */
  delayMs(attempt: number, random: Random): number;
}

export interface FullJitterOptions {
  /** Ceiling of the first wait, in milliseconds. Default 50, from 1 to 60_000. */
  baseMs?: number | undefined;
  /** Ceiling of every wait, in milliseconds. Default 1_000 or `baseMs` if that is more, from `baseMs` to 600_000. */
  maxMs?: number | undefined;
}

/**
 * Full jitter: uniform between 0 and `min(maxMs, baseMs * 2^(attempt - 1))`.
 *
 * Spreads a fleet's retries over the whole interval, so that a server coming back is not met by everyone at once.
 * Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @throws RangeError naming the option and the value, when one is out of range
 */
export function fullJitter(options: FullJitterOptions = {}): Backoff {
  const baseMs = numberOption("baseMs", options.baseMs, 50, { min: 1, max: 60_000 });
  const maxMs = numberOption("maxMs", options.maxMs, Math.max(1_000, baseMs), { min: baseMs, max: 600_000 });
  return {
    delayMs: (attempt, random) => random() * Math.min(maxMs, baseMs * 2 ** (attempt - 1)),
  };
}
