/** How much longer than the backoff a server may make a client wait: as the AWS SDKs do. */
const LONGEST_EXTENSION_MS = 5_000;

const IMF_FIXDATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
const RFC_850 = /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
const ASCTIME = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

/**
 * Reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date in any of HTTP's three forms. Fractions of
 * a second are read too, because servers send them.
 *
 * @param nowMs wall-clock time, in milliseconds since the epoch
 * @returns the wait in milliseconds, 0 for a date that has passed; undefined when it cannot be read
 */
export function parseRetryAfter(value: string, nowMs: number): number | undefined {
  const text = value.trim();
  if (/^\d{1,10}(?:\.\d+)?$/.test(text)) return Number(text) * 1_000;
  // Date.parse takes far more than HTTP's dates: "-5" is a year to it.
  const zoned = ASCTIME.test(text) ? `${text} GMT` : text;
  if (zoned === text && !IMF_FIXDATE.test(text) && !RFC_850.test(text)) return undefined;
  const atMs = Date.parse(zoned);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/**
 * The wait before the next attempt when the server named one: never shorter than the backoff, so that a fleet told the
 * same number stays spread, and at most five seconds longer, so that a server cannot park its clients.
 */
export function clampRetryAfter(retryAfterMs: number, backoffMs: number): number {
  return Math.min(Math.max(retryAfterMs, backoffMs), backoffMs + LONGEST_EXTENSION_MS);
}
