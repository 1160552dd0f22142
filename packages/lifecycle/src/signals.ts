import { constants } from "node:os";
import { isatty } from "node:tty";
import type { Clock } from "@holdfast/core";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
export type StopSignal = (typeof SIGNALS)[number];

/** npm passes Ctrl-C on to a child that has it from the terminal already: two at once are one. */
const SAME_SIGNAL_MS = 500;

/** What a shell would report of a process that a signal ended. */
export function exitCodeOf(signal: StopSignal): number {
  return 128 + constants.signals[signal];
}

/** Whether somebody at a terminal pressed Ctrl-C: no balancer waits for the news then. */
export function fromTerminal(signal: StopSignal): boolean {
  return signal === "SIGINT" && isatty(0);
}

/**
 * @param onFirst told of the first signal
 * @param onAgain told of every later one, unless it is the echo of the first
 * @returns stops listening
 */
export function listenForSignals(
  clock: Clock,
  onFirst: (signal: StopSignal) => void,
  onAgain: (signal: StopSignal) => void,
): () => void {
  let first: { signal: StopSignal; atMs: number } | null = null;
  const listeners = SIGNALS.map((signal) => {
    const listener = (): void => {
      const atMs = clock.monotonic();
      if (!first) {
        first = { signal, atMs };
        onFirst(signal);
      } else if (signal !== first.signal || atMs - first.atMs >= SAME_SIGNAL_MS) {
        onAgain(signal);
      }
    };
    process.on(signal, listener);
    return () => void process.removeListener(signal, listener);
  });
  return () => {
    for (const remove of listeners) remove();
  };
}
