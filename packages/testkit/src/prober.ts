import { type Clock, systemClock, type Timer } from "@holdfast/core";
import { type ProbeResult, probe } from "./probe.ts";

export interface ProberOptions {
  url: string | URL;
  /** Time from the start of one probe to the start of the next, in milliseconds. Default 10_000, the kubelet's. */
  periodMs?: number | undefined;
  /** See `probe`. Default 1000. */
  timeoutMs?: number | undefined;
  /** Told of every result, in order. */
  onResult?: ((result: ProbeResult) => void) | undefined;
  clock?: Clock | undefined;
}

export interface Prober extends AsyncDisposable {
  /** How many results in a row were like the last one, and what it was: what thresholds count. */
  readonly streak: { ok: boolean; count: number };
  /** Stops and breaks off a probe that is under way; nobody is told of its result. */
  close(): Promise<void>;
}

/**
 * Probes a URL again and again as the kubelet does: at once, then every period, never two at a time; a probe that
 * outlasts its period delays the next one to the period's next multiple.
 */
export function startProber(options: ProberOptions): Prober {
  const { url, periodMs = 10_000, timeoutMs, onResult, clock = systemClock } = options;
  if (!(periodMs > 0)) throw new RangeError(`periodMs must be a number above 0, not ${periodMs}`);
  const startedMs = clock.monotonic();
  let streak = { ok: false, count: 0 };
  const stop = new AbortController();
  let timer: Timer | undefined;
  const run = async (): Promise<void> => {
    const result = await probe(url, { timeoutMs, clock, signal: stop.signal });
    if (stop.signal.aborted) return;
    streak = { ok: result.ok, count: streak.count > 0 && streak.ok === result.ok ? streak.count + 1 : 1 };
    onResult?.(result);
    timer = clock.after(periodMs - ((clock.monotonic() - startedMs) % periodMs), () => {
      probing = run();
    });
  };
  let probing = run();
  const close = async (): Promise<void> => {
    stop.abort();
    timer?.cancel();
    await probing;
  };
  return {
    get streak() {
      return streak;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
