import type { Clock } from "@holdfast/core";
import { HttpExchange } from "./http-exchange.ts";
import { readRequest, resolveAddress } from "./http-request.ts";
import { type HttpFetch, type Mode, resolveTarget, type TargetOptions, type TargetSettings } from "./options.ts";
import { Pipeline } from "./pipeline.ts";
import { RunExchange } from "./run-exchange.ts";
import { type UndiciTransport, undiciTransport } from "./undici-transport.ts";

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
export function createTarget(options: TargetOptions): Target {
  return new GuardedTarget(options);
}

/** The pipeline of a target, for the package's other transports. */
export function pipelineOf(target: Target): Pipeline {
  const pipeline = pipelines.get(target);
  if (!pipeline) throw new TypeError("target must be one that createTarget made");
  return pipeline;
}

const pipelines = new WeakMap<Target, Pipeline>();

class GuardedTarget implements Target {
  readonly #pipeline: Pipeline;
  readonly #clock: Clock;
  readonly #givenFetch: HttpFetch | undefined;
  /** Made by the first request: a target that speaks gRPC needs none. */
  #transport: UndiciTransport | undefined;
  #turn = 0;

  constructor(options: TargetOptions) {
    const resolved = resolveTarget(options);
    this.#pipeline = new Pipeline(resolved, options);
    this.#clock = resolved.clock;
    this.#givenFetch = resolved.fetch;
    pipelines.set(this, this.#pipeline);
  }

  get name(): string {
    return this.#pipeline.name;
  }

  get mode(): Mode {
    return this.#pipeline.settings.mode;
  }

  async fetch(input: string | URL, init: TargetRequestInit = {}): Promise<Response> {
    const { urls } = this.#pipeline.settings;
    const request = readRequest(init);
    const first = resolveAddress(input, urls, this.#turn++);
    const address = (attempt: number): URL => (attempt === 1 ? first : resolveAddress(input, urls, this.#turn++));
    const exchange = new HttpExchange(this.name, request, address, this.#fetch(), this.#clock);
    return this.#pipeline.call(exchange, { signal: init.signal ?? undefined });
  }

  run<T>(fn: (context: RunContext) => T | PromiseLike<T>, options: RunOptions = {}): Promise<T> {
    return this.#pipeline.call(new RunExchange(this.name, fn, options), options);
  }

  reconfigure(settings: TargetSettings): void {
    this.#pipeline.reconfigure(settings);
  }

  async close(): Promise<void> {
    this.#pipeline.close();
    const transport = this.#transport;
    if (!transport) return;
    // Requests in flight end by their deadline; in observe mode nothing else would ever end them.
    const timer = this.#clock.after(this.#pipeline.settings.deadlineMs, () => void transport.destroy());
    await transport.close();
    timer.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #fetch(): HttpFetch {
    if (this.#givenFetch) return this.#givenFetch;
    this.#transport ??= undiciTransport();
    return this.#transport.fetch;
  }
}
