import { type Clock, HoldfastError, messageOf, type Random, type Timer } from "@holdfast/core";
import type { Redis } from "ioredis";

export interface RedisLinkOptions {
  /** Makes the connection, not yet connected, without an offline queue and without a retry strategy of its own. */
  connection: Redis;
  clock: Clock;
  random: Random;
  /** How long a connection may take to be ready, and a command to be answered, in milliseconds. */
  timeoutMs: number;
  /** Called at each connection, the first included. */
  onReady(): void;
  /** Called when the connection is lost, or could not be made at first; not again for each attempt that fails. */
  onDown(): void;
}

/** The longest pause between two attempts: a Redis that is back is found well within two seconds. */
const LONGEST_PAUSE_MS = 500;
const SHORTEST_PAUSE_MS = 50;

/**
 * Keeps one connection of our own up. ioredis could reconnect by itself, but its timer keeps a process alive, and a
 * server that is stopped in its tracks never closes the connection that ioredis goes on trusting.
 */
export class RedisLink {
  readonly #options: RedisLinkOptions;
  #ready: PromiseWithResolvers<void> = Promise.withResolvers();
  #failures = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    const { connection } = options;
    // Whoever runs a command learns of the error; without a listener ioredis writes it to the console.
    connection.on("error", () => {});
    connection.on("connect", () => connection.stream.unref());
    connection.on("ready", () => this.#onReady());
    connection.on("end", () => this.#onEnd());
    this.#connect();
  }

  /**
   * Runs a command, as soon as there is a connection.
   *
   * @throws HoldfastError POLICY_STORE_UNAVAILABLE when there is no answer in time; the command may have run
   */
  async run<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    const { connection, clock, timeoutMs } = this.#options;
    let state: "waiting" | "sent" | "given up" = "waiting";
    const answer = this.#ready.promise.then(() => {
      // The caller was told no long ago: what it wanted written may be wrong by now.
      if (state === "given up") throw new Error("given up");
      state = "sent";
      return command(connection);
    });
    const onTimeout = (): void => {
      // A connection that is still being made has a time-out of its own.
      if (state === "sent") this.#distrust();
      else state = "given up";
    };
    try {
      return await withTimeout(clock, timeoutMs, answer, onTimeout);
    } catch (error) {
      throw unavailable(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#distrust();
  }

  #connect(): void {
    const { connection, clock, timeoutMs } = this.#options;
    // The connection's own time-out ends at the TCP connect, which a stopped server's kernel still answers.
    this.#timer = clock.after(timeoutMs, () => this.#distrust());
    // It rejects where "end" is emitted too.
    connection.connect().catch(() => {});
  }

  #onReady(): void {
    this.#timer?.cancel();
    this.#failures = 0;
    this.#ready.resolve();
    this.#options.onReady();
  }

  #onEnd(): void {
    this.#timer?.cancel();
    this.#ready = Promise.withResolvers();
    if (this.#closed) return;
    const { clock, random, onDown } = this.#options;
    if (this.#failures === 0) onDown();
    const ceiling = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** this.#failures++);
    this.#timer = clock.after(ceiling * (0.5 + random() / 2), () => this.#connect());
  }

  /** Gives up a connection that does not answer; "end" follows, and a new attempt. */
  #distrust(): void {
    this.#options.connection.disconnect();
  }
}

/** Releases the caller when the answer takes too long. Nothing of it keeps the process alive. */
export function withTimeout<T>(
  clock: Clock,
  timeoutMs: number,
  answer: Promise<T>,
  onTimeout: () => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      reject(new Error(`no answer within ${timeoutMs} ms`));
      onTimeout();
    });
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}

export function unavailable(error: unknown): HoldfastError<"POLICY_STORE_UNAVAILABLE"> {
  return new HoldfastError("POLICY_STORE_UNAVAILABLE", `the Redis store of overrides: ${messageOf(error)}`, {
    cause: error,
  });
}
