import type { Mode, TargetOptions, TargetSettings } from "./options.ts";

export interface TargetRequestInit extends RequestInit {
  /** Sent as the body in JSON, with its content type. Not together with `body`. */
  json?: unknown;
}

/** What a function that `run` calls is told. */
export interface RunContext {
  /** Aborts when the attempt times out, the deadline passes or the caller gives up. */
  readonly signal: AbortSignal;
  /** From 1. */
  readonly attempt: number;
}

export interface RunOptions {
  /** Whether the function may be called again after it threw or timed out. Default false. */
  idempotent?: boolean | undefined;
  /** The caller's own. Its reason is thrown as soon as it aborts. */
  signal?: AbortSignal | undefined;
  /** Whether an error that the function threw speaks against the target. Default: every error does. */
  isFailure?: ((error: unknown) => boolean) | undefined;
}

/** Something that is called over a network, with everything that protects both sides of the call. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  readonly mode: Mode;
  /**
   * fetch, within the deadline. A response is returned whatever its status, also the last 503; `attemptsOf(response)`
   * tells what came before it.
   *
   * @param input a path below the target's urls, or a whole address
   * @throws BreakerOpenError when the breaker refused the first attempt
   * @throws DeadlineExceededError also while the body is read
   * @throws AttemptTimeoutError when an attempt timed out and no other was allowed
   * @throws TransportError when the connection failed, also while the body is read
   * @throws TypeError for a request that cannot be made
   * @throws the signal's reason, when the caller aborts
   */
  fetch(input: string | URL, init?: TargetRequestInit): Promise<Response>;
  /**
   * Anything else, within the deadline: a query, an SDK's call. The caller is released when time is up even if the
   * function does not heed its signal. An error of the function's own passes through untouched.
   *
   * @throws BreakerOpenError, DeadlineExceededError, AttemptTimeoutError, the signal's reason, or what the function threw
   */
  run<T>(fn: (context: RunContext) => T | PromiseLike<T>, options?: RunOptions): Promise<T>;
  /**
   * Changes what is given and keeps the rest. Nothing is lost: neither the retry budget nor calls in flight, which finish
   * on the settings they began with.
   *
   * @throws TypeError or RangeError naming the option and the value; then nothing has changed
   */
  reconfigure(settings: TargetSettings): void;
  /** Ends the waits of the calls in flight and closes the target's own connections. */
  close(): Promise<void>;
}

/**
 * Makes a target.
 *
 * @throws TypeError or RangeError naming the option and the value
 */
export function createTarget(_options: TargetOptions): Target {
  throw new Error("not written yet");
}
