import { readFileSync } from "node:fs";
import {
  type Clock,
  type Logger,
  messageOf,
  numberOption,
  type Random,
  rateLimitedLogger,
  silentLogger,
  systemClock,
  systemRandom,
} from "@holdfast/core";
import { Redis, type RedisOptions } from "ioredis";
import type { Override, OverrideId, OverrideLayer, Overrides } from "./override.ts";
import { decodeOverride, encodeOverride, keptAfterExpiryMs, overrideKey, overrideScope } from "./override-codec.ts";
import type { OverrideListener, OverrideStore, WriteResult } from "./override-store.ts";
import { OverrideWatcher } from "./override-watcher.ts";
import { RedisLink, unavailable, withTimeout } from "./redis-link.ts";

export interface RedisOverrideStoreOptions {
  /**
   * A URL or ioredis options: the store makes connections of its own and closes them. An ioredis instance: its
   * commands run there, it is not closed, and hints come over a duplicate of it.
   */
  redis: string | RedisOptions | Redis;
  /** Mean time between two polls, in milliseconds. Default 10_000, from 100 to 300_000; each is drawn from half of it to one and a half. */
  pollMs?: number | undefined;
  /** How long Redis may take to answer, in milliseconds. Default 1_000, from 10 to 60_000. */
  timeoutMs?: number | undefined;
  logger?: Logger | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

const writeScript = readFileSync(new URL("../lua/write-override.lua", import.meta.url), "utf8");

/** What the script returns, by its code. */
const REFUSALS = [undefined, "stale-epoch", "version-conflict"] as const;

type OwnOptions = RedisOptions & { replyMapping: "legacy" };

/** One link for commands, one for hints: a connection that subscribes can't do much else. */
const OWN_CONNECTION: OwnOptions = {
  replyMapping: "legacy",
  lazyConnect: true,
  // A command waits for nobody: the caller hears at once that Redis is away, and the next poll asks again.
  enableOfflineQueue: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: null,
  // A polite end waits for the other side's, and a stopped server has none to give.
  disconnectTimeout: 0,
};

/**
 * Overrides of a fleet in Redis 7 or Valkey 7.2 and newer: `holdfast:{namespace/service/target}:policy:<layer>`, one
 * compare-and-set script, a pub/sub hint on `holdfast:{namespace/service/target}:policy`, a slow poll as its safety net.
 *
 * A service only needs to read: `+@connection +info +mget +subscribe +unsubscribe %R~holdfast:*:policy:* &holdfast:*`.
 */
export function redisOverrideStore(options: RedisOverrideStoreOptions): OverrideStore {
  return new RedisOverrideStore(options);
}

class RedisOverrideStore implements OverrideStore {
  readonly #options: RedisOverrideStoreOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #watcher: OverrideWatcher;
  readonly #commands: RedisLink | undefined;
  #hints: RedisLink | undefined;
  /** Scopes that somebody watches; a connection that comes up subscribes to all of them. */
  readonly #channels = new Set<string>();

  constructor(options: RedisOverrideStoreOptions) {
    const { logger = silentLogger, clock = systemClock, random = systemRandom } = options;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#timeoutMs = numberOption("timeoutMs", options.timeoutMs, 1_000, { min: 10, max: 60_000 });
    const pollMs = numberOption("pollMs", options.pollMs, 10_000, { min: 100, max: 300_000 });
    this.#logger = rateLimitedLogger(logger, { clock });
    this.#watcher = new OverrideWatcher({
      readMany: (ids) => this.#readMany(ids),
      pollMs,
      clock,
      random,
      onScope: (scope) => this.#subscribe(scope),
      onScopeGone: (scope) => this.#unsubscribe(scope),
    });
    if (!isRedis(options.redis)) this.#commands = this.#link(this.#connection(), () => this.#watcher.hintAll());
  }

  async read(id: OverrideId): Promise<Overrides> {
    const [overrides] = await holdingProcess(this.#readMany([id]));
    return overrides!;
  }

  async write(layer: OverrideLayer, id: OverrideId, override: Override): Promise<WriteResult> {
    const body = encodeOverride(override);
    const { epoch, version, expiresAtMs } = override;
    const scope = overrideScope(id);
    const args = [epoch, version, body, Math.ceil(expiresAtMs), keptAfterExpiryMs, scope, layer];
    // EVAL, not EVALSHA: a write is rare, and a script that was flushed away is one failure less to think of.
    const reply = await holdingProcess(
      this.#run((redis) => redis.eval(writeScript, 1, overrideKey(id, layer), ...args)),
    );
    const [code, storedEpoch, storedVersion] = reply as [number, number, number];
    const reason = REFUSALS[code];
    if (reason) return { ok: false, reason, stored: { epoch: storedEpoch, version: storedVersion } };
    this.#watcher.hint(scope);
    return { ok: true };
  }

  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void {
    return this.#watcher.watch(ids, listener);
  }

  close(): Promise<void> {
    this.#watcher.close();
    this.#hints?.close();
    this.#commands?.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #run<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#commands) return this.#commands.run(command);
    const answer = withTimeout(this.#clock, this.#timeoutMs, command(this.#options.redis as Redis));
    return answer.catch((error: unknown) => {
      throw unavailable(error);
    });
  }

  async #readMany(ids: readonly OverrideId[]): Promise<Overrides[]> {
    // A target's two keys are in one slot; those of two targets need not be.
    const rows = await this.#run((redis) =>
      Promise.all(ids.map((id) => redis.mget(overrideKey(id, "controller"), overrideKey(id, "operator")))),
    );
    return rows.map(([controller, operator], index) => ({
      ...this.#decode(ids[index]!, "controller", controller),
      ...this.#decode(ids[index]!, "operator", operator),
    }));
  }

  /** What can't be read counts as absent, which changes nothing for those who hold something better. */
  #decode(id: OverrideId, layer: OverrideLayer, text: string | null | undefined): Overrides {
    if (text === null || text === undefined) return {};
    try {
      return { [layer]: decodeOverride(text) };
    } catch (error) {
      this.#logger.warn({ key: overrideKey(id, layer), error: messageOf(error) }, "a stored override can't be read");
      return {};
    }
  }

  #connection(): Redis {
    const { redis } = this.#options;
    const own: OwnOptions = { ...OWN_CONNECTION, connectTimeout: this.#timeoutMs };
    if (isRedis(redis)) return redis.duplicate(own);
    return typeof redis === "string" ? new Redis(redis, own) : new Redis({ ...redis, ...own });
  }

  #link(connection: Redis, onReady: () => void): RedisLink {
    return new RedisLink({
      connection,
      onReady,
      // Whoever watches should hear of it now rather than at the next poll.
      onDown: () => this.#watcher.hintAll(),
      clock: this.#clock,
      random: this.#random,
      timeoutMs: this.#timeoutMs,
    });
  }

  #subscribe(scope: string): void {
    this.#channels.add(scope);
    if (this.#hints) void this.#listen([scope]);
    else this.#startHints();
  }

  #startHints(): void {
    const connection = this.#connection();
    connection.on("message", (channel: string) => this.#watcher.hint(channel));
    this.#hints = this.#link(connection, () => void this.#listen([...this.#channels]));
  }

  async #listen(channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return;
    try {
      await this.#hints?.run((redis) => redis.subscribe(...channels));
      // What was published before this moment was missed.
      for (const channel of channels) this.#watcher.hint(channel);
    } catch {
      // Not connected now: the link subscribes to everything when it is.
    }
  }

  #unsubscribe(scope: string): void {
    this.#channels.delete(scope);
    // By the time there is a connection somebody may watch it again.
    const unsubscribe = async (redis: Redis): Promise<void> => {
      if (!this.#channels.has(scope)) await redis.unsubscribe(scope);
    };
    void this.#hints?.run(unsubscribe).catch(() => {});
  }
}

/**
 * What goes on in the background never keeps a process alive, but somebody waits for this answer: without a handle of
 * its own a script would end in the middle of its `await`. It comes within the time-out.
 */
async function holdingProcess<T>(answer: Promise<T>): Promise<T> {
  const handle = setInterval(() => {}, 60_000);
  try {
    return await answer;
  } finally {
    clearInterval(handle);
  }
}

/** Not instanceof: the user's ioredis may be another copy. */
function isRedis(given: string | RedisOptions | Redis): given is Redis {
  return typeof given === "object" && "duplicate" in given && typeof given.duplicate === "function";
}
