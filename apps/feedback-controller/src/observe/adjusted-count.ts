const TWO_56 = 2 ** 56;

/**
 * How many spans this one stands for, when its trace was sampled at the head: `ot=th:...` in tracestate gives the
 * rejection threshold as up to 14 hex digits, with trailing zeros left out (OpenTelemetry, "TraceState: Probability
 * Sampling", adjusted count).
 */
export function adjustedCount(traceState: string): number {
  if (traceState === "") return 1;
  const found = /(?:^|,)\s*ot=[^,]*?\bth:([0-9a-f]{1,14})(?=[;,\s]|$)/.exec(traceState);
  if (found === null) return 1;
  const rejected = Number.parseInt(found[1]!.padEnd(14, "0"), 16);
  return TWO_56 / (TWO_56 - rejected);
}
