import { createRequire } from "node:module";
import { type Clock, HoldfastError, messageOf, type Random, type Timer } from "@holdfast/core";
import type { Redis, RedisOptions } from "ioredis";

/** Between two attempts to connect: doubled from the first to the longest, less up to a half by chance. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 500;
/**
 * A host that vanished with its address answers nothing at all, not even a refusal: an attempt begun just before it comes
 * back, and the wait after it, must together stay below the 2 s in which sharing is promised to go on.
 */
const CONNECT_TIMEOUT_MS = 1_000;

export interface RedisConnectionOptions {
  /** An address, an instance whose options are copied (never its connection), or options. */
  redis: string | Redis | RedisOptions;
  /** How long a command may take, in milliseconds. */
  timeoutMs: number;
  clock: Clock;
  random: Random;
  onReady(): void;
  onLost(error: Error | undefined): void;
}

/** By its method, not its class: the instance may come from another copy of ioredis. */
function isClient(redis: RedisConnectionOptions["redis"]): redis is Redis {
  return typeof redis === "object" && typeof (redis as Redis).duplicate === "function";
}

/** Loaded when a connection is made: who shares through another store need not have ioredis. */
function connect(redis: string | RedisOptions, own: RedisOptions & { replyMapping: "legacy" }): Redis {
  let ioredis: typeof import("ioredis");
  try {
    ioredis = createRequire(import.meta.url)("ioredis") as typeof import("ioredis");
  } catch (error) {
    throw new HoldfastError(
      "IOREDIS_MISSING",
      `sharing through Redis needs ioredis 5.4 or newer: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  return typeof redis === "string" ? new ioredis.Redis(redis, own) : new ioredis.Redis({ ...redis, ...own });
}

/**
 * One connection that nothing ever waits for: without a server a command fails at once, a slow one fails in time, and the
 * socket does not keep the process alive. Reconnecting is done here and not by ioredis, whose timers would.
 */
export class RedisConnection {
  readonly client: Redis;
  readonly #clock: Clock;
  readonly #random: Random;
  #attempts = 0;
  #retry: Timer | undefined;
  #closed = false;
  #lastError: Error | undefined;

  constructor(options: RedisConnectionOptions) {
    const { redis, timeoutMs, onReady, onLost } = options;
    this.#clock = options.clock;
    this.#random = options.random;
    const own = {
      // Says nothing to our replies, which are plain text; ioredis wants it said to know their types.
      replyMapping: "legacy",
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: null,
      retryStrategy: null,
      sentinelRetryStrategy: () => null,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: timeoutMs,
      // ioredis waits for a server's goodbye with a timer that holds the process.
      disconnectTimeout: 100,
      disableClientInfo: true,
      connectionName: "holdfast-breaker",
    } satisfies RedisOptions;
    this.client = isClient(redis) ? redis.duplicate(own) : connect(redis, own);
    this.client.on("error", (error: Error) => {
      this.#lastError = error;
    });
    // The socket is there a turn after "connecting": from then on it must not hold the process.
    this.client.on("connecting", () => setImmediate(() => this.client.stream?.unref()).unref());
    this.client.on("connect", () => this.client.stream.unref());
    this.client.on("ready", () => {
      this.#attempts = 0;
      this.#lastError = undefined;
      onReady();
    });
    this.client.on("end", () => {
      onLost(this.#lastError);
      this.#connectLater();
    });
    this.#connect();
  }

  get ready(): boolean {
    return this.client.status === "ready";
  }

  /** Ends the connection and makes another, perhaps to another server. */
  renew(): void {
    this.client.disconnect();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.client.disconnect();
  }

  #connect(): void {
    // What went wrong is heard of by the events; the promise says the same a second time.
    this.client.connect().catch(() => {});
  }

  #connectLater(): void {
    if (this.#closed) return;
    const longestMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#attempts++, 10));
    this.#retry = this.#clock.after(longestMs * (1 - 0.5 * this.#random()), () => this.#connect());
  }
}
