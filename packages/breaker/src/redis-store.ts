import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Clock, messageOf, numberOption, type Random, systemClock, systemRandom } from "@holdfast/core";
import type { Redis, RedisOptions } from "ioredis";
import { RedisConnection } from "./redis-connection.ts";
import { SharingState } from "./sharing-state.ts";
import { type BreakerStore, type FleetView, STORE_SCHEMA, type SyncReply, type SyncRequest } from "./store.ts";

export interface RedisStoreOptions {
  /**
   * Where Redis is: an address (`redis://`, `rediss://`), an ioredis instance, or ioredis options. Of an instance only the
   * options are used; the store has two connections of its own, one for its script and one for hints.
   */
  redis: string | Redis | RedisOptions;
  /** How long an exchange may take before the store counts as out of reach, in milliseconds. Default 500, from 10 to 10_000. */
  timeoutMs?: number | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

/**
 * Shares breakers through Redis 7 or newer. Connects by itself, in the background, and again whenever the connection is
 * lost; never holds the process.
 *
 * @throws TypeError or RangeError naming the option and the value
 */
export function redisStore(options: RedisStoreOptions): BreakerStore {
  return new RedisStore(options, readFileSync(new URL("../lua/sync.lua", import.meta.url), "utf8"));
}

/** With the script as an argument: tests bring one whose clock they hold. */
export class RedisStore implements BreakerStore {
  readonly kind = "redis";
  readonly #state = new SharingState();
  readonly #commands: RedisConnection;
  readonly #hints: RedisConnection;
  readonly #script: string;
  readonly #sha: string;
  readonly #watchers = new Map<string, Set<(view: FleetView) => void>>();

  constructor(options: RedisStoreOptions, script: string) {
    const { redis, clock = systemClock, random = systemRandom } = options;
    const timeoutMs = numberOption("timeoutMs", options.timeoutMs, 500, { min: 10, max: 10_000 });
    this.#script = script;
    this.#sha = createHash("sha1").update(script).digest("hex");
    const common = { redis, timeoutMs, clock, random };
    this.#commands = new RedisConnection({
      ...common,
      onReady: () => this.#state.set(true),
      onLost: () => this.#state.set(false),
    });
    this.#hints = new RedisConnection({ ...common, onReady: () => this.#resubscribe(), onLost: () => {} });
    this.#hints.client.on("message", (channel: string, message: string) => this.#onMessage(channel, message));
  }

  get sharing(): boolean {
    return this.#state.sharing;
  }

  onSharing(listener: (sharing: boolean) => void): () => void {
    return this.#state.listen(listener);
  }

  async sync(requests: readonly SyncRequest[]): Promise<readonly SyncReply[]> {
    const keys: string[] = [];
    const args: string[] = [];
    for (const request of requests) {
      keys.push(keyOf(request.id, "breaker"), keyOf(request.id, "window"));
      args.push(JSON.stringify(request), keyOf(request.id, "hint"));
    }
    try {
      const replies = (await this.#run(keys, args)) as string[];
      this.#state.set(true);
      return replies.map(parseReply);
    } catch (error) {
      this.#state.set(false);
      // After a failover the old primary answers as a replica: only another connection finds the new one.
      if (messageOf(error).startsWith("READONLY")) this.#commands.renew();
      throw error;
    }
  }

  watch(id: string, onHint: (view: FleetView) => void): () => void {
    const channel = keyOf(id, "hint");
    const watchers = this.#watchers.get(channel) ?? new Set();
    this.#watchers.set(channel, watchers);
    watchers.add(onHint);
    if (watchers.size === 1) this.#subscribe([channel]);
    return () => {
      watchers.delete(onHint);
      if (watchers.size > 0 || this.#watchers.get(channel) !== watchers) return;
      this.#watchers.delete(channel);
      if (this.#hints.ready) this.#hints.client.unsubscribe(channel).catch(() => {});
    };
  }

  close(): Promise<void> {
    this.#commands.close();
    this.#hints.close();
    this.#watchers.clear();
    this.#state.set(false);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const { client } = this.#commands;
    try {
      return await client.evalsha(this.#sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!messageOf(error).startsWith("NOSCRIPT")) throw error;
      return await client.eval(this.#script, keys.length, ...keys, ...args);
    }
  }

  #resubscribe(): void {
    if (this.#watchers.size > 0) this.#subscribe([...this.#watchers.keys()]);
  }

  #subscribe(channels: readonly string[]): void {
    if (!this.#hints.ready) return;
    this.#hints.client.subscribe(...channels).then(
      // What was said before the subscription stood was missed: look again.
      () => {
        if (this.#state.sharing) this.#state.announce();
      },
      () => {},
    );
  }

  #onMessage(channel: string, message: string): void {
    const watchers = this.#watchers.get(channel);
    if (!watchers) return;
    const view = parseHint(message);
    if (view) for (const onHint of watchers) onHint(view);
  }
}

function keyOf(id: string, part: "breaker" | "window" | "hint"): string {
  return `holdfast:{${id}}:${part}`;
}

/** As the script writes it: long numbers as text, an empty list as an empty object. */
interface WireView {
  schema: number;
  incarnation: string;
  generation: number;
  state: FleetView["state"];
  sinceMs: string;
  remainingMs: number;
  opens: number;
  by: string;
  decidedAtMs: string;
}

function parseReply(text: string): SyncReply {
  const { view, leases } = JSON.parse(text) as { view: WireView; leases?: unknown };
  return { view: viewOf(view), leases: Array.isArray(leases) ? (leases as string[]) : [] };
}

/** Anybody who may publish can say anything: what is no view is nothing. */
function parseHint(message: string): FleetView | undefined {
  try {
    const view = viewOf(JSON.parse(message) as WireView);
    return typeof view.incarnation === "string" && Number.isInteger(view.generation) ? view : undefined;
  } catch {
    return undefined;
  }
}

function viewOf(wire: WireView): FleetView {
  if (wire.schema > STORE_SCHEMA) return { ...nothingKnown, schema: wire.schema };
  return { ...wire, sinceMs: Number(wire.sinceMs), decidedAtMs: Number(wire.decidedAtMs) };
}

const nothingKnown: FleetView = {
  schema: STORE_SCHEMA,
  incarnation: "",
  generation: 0,
  state: "closed",
  sinceMs: 0,
  remainingMs: 0,
  opens: 0,
  by: "",
  decidedAtMs: 0,
};
