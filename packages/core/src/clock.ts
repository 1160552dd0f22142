/** A pending call that can be taken back. */
export interface Timer {
  /** Takes the call back. Harmless after it ran. */
  cancel(): void;
}

/** Where time comes from. Everything that waits or measures takes one as an option, so that tests can bring their own. */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. May jump; use it to stamp, never to measure. */
  now(): number;
  /** Milliseconds since an arbitrary moment. Never goes back; use it to measure. */
  monotonic(): number;
  /**
   * Calls `run` once, `delayMs` from now. The timer never keeps the process alive.
   *
   * @param delayMs any finite number of milliseconds of 0 or more; delays beyond 2^31 - 1 are waited out in full
   */
  after(delayMs: number, run: () => void): Timer;
}

/** The longest delay that setTimeout takes; anything longer fires at once (opossum's resetTimeout fell for it). */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    let handle: NodeJS.Timeout;
    const arm = (remainingMs: number): void => {
      const next = Math.min(remainingMs, LONGEST_TIMEOUT_MS);
      handle = setTimeout(() => (remainingMs > next ? arm(remainingMs - next) : run()), next);
      handle.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Waits for `delayMs`, or until the signal aborts, whichever comes first.
 *
 * @throws the signal's reason, as soon as it aborts
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
