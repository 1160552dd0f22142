import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Clock, sleep, systemClock, type Timer } from "@holdfast/core";
import { type ClusterRecord, syncRecord, viewOf } from "./cluster-state.ts";
import { SharingState } from "./sharing-state.ts";
import type { BreakerStore, FleetView, SyncReply, SyncRequest } from "./store.ts";

export interface SqliteStoreOptions {
  /** The database's path. Made when it is not there, with its directory. All processes of the host name the same. */
  file: string;
  clock?: Clock | undefined;
}

/** How often another process's changes are looked for. Asking costs a few microseconds and reads no table. */
const LOOK_EVERY_MS = 50;
/** SQLite waits on the event loop's time, so it waits little; then we wait beside the loop and try again. */
const BUSY_TIMEOUT_MS = 2;
const BUSY_TRIES = 20;
const BUSY_PAUSE_MS = 5;

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS breaker (
    id TEXT PRIMARY KEY, record TEXT NOT NULL, written_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;
/** A record that nobody wrote for so long is cleaned up when somebody next opens the file. */
const KEPT_MS = 86_400_000;

/** Shares breakers among the processes of one host, through a file: no server. */
export function sqliteStore(options: SqliteStoreOptions): BreakerStore {
  return new SqliteStore(options);
}

interface Connection {
  readonly database: DatabaseSync;
  readonly select: StatementSync;
  readonly upsert: StatementSync;
  readonly version: StatementSync;
}

interface Watched {
  readonly watchers: Set<(view: FleetView) => void>;
  /** Incarnation and generation that were told last. */
  told: string;
}

class SqliteStore implements BreakerStore {
  readonly kind = "sqlite";
  readonly #file: string;
  readonly #clock: Clock;
  readonly #state = new SharingState(true);
  readonly #watched = new Map<string, Watched>();
  #connection: Connection | undefined;
  #version = -1;
  #look: Timer | undefined;
  #closed = false;

  constructor({ file, clock = systemClock }: SqliteStoreOptions) {
    if (typeof file !== "string" || file === "") throw new TypeError(`file must be a path, not ${String(file)}`);
    this.#file = file;
    this.#clock = clock;
  }

  get sharing(): boolean {
    return this.#state.sharing;
  }

  onSharing(listener: (sharing: boolean) => void): () => void {
    return this.#state.listen(listener);
  }

  async sync(requests: readonly SyncRequest[]): Promise<readonly SyncReply[]> {
    try {
      for (let tries = 1; ; tries++) {
        try {
          const replies = this.#syncNow(requests);
          this.#state.set(true);
          return replies;
        } catch (error) {
          if (tries === BUSY_TRIES || !isBusy(error)) throw error;
        }
        await sleep(this.#clock, BUSY_PAUSE_MS);
      }
    } catch (error) {
      this.#state.set(false);
      this.#disconnect();
      throw error;
    }
  }

  watch(id: string, onHint: (view: FleetView) => void): () => void {
    const watched = this.#watched.get(id) ?? { watchers: new Set(), told: "" };
    this.#watched.set(id, watched);
    watched.watchers.add(onHint);
    this.#look ??= this.#clock.after(LOOK_EVERY_MS, () => this.#lookForChanges());
    return () => {
      watched.watchers.delete(onHint);
      if (watched.watchers.size === 0 && this.#watched.get(id) === watched) this.#watched.delete(id);
    };
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#look?.cancel();
    this.#watched.clear();
    this.#disconnect();
    this.#state.set(false);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #syncNow(requests: readonly SyncRequest[]): SyncReply[] {
    const { database, select, upsert } = this.#connect();
    const nowMs = this.#clock.now();
    const hints: [id: string, view: FleetView][] = [];
    database.exec("BEGIN IMMEDIATE");
    try {
      const replies = requests.map((request) => {
        const before = select.get(request.id)?.record as string | undefined;
        const stored = before === undefined ? null : (JSON.parse(before) as ClusterRecord);
        const { record, reply, moved } = syncRecord(stored, request, nowMs);
        const after = JSON.stringify(record);
        // Nothing new is not written: every write wakes all other processes.
        if (after !== before) upsert.run(request.id, after, Math.round(nowMs));
        if (moved) hints.push([request.id, reply.view]);
        return reply;
      });
      database.exec("COMMIT");
      for (const [id, view] of hints) this.#hint(id, view);
      return replies;
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }

  #lookForChanges(): void {
    this.#look = undefined;
    if (this.#closed || this.#watched.size === 0) return;
    try {
      const { version, select } = this.#connect();
      const seen = version.get()!.data_version as number;
      if (seen !== this.#version) {
        this.#version = seen;
        const nowMs = this.#clock.now();
        for (const id of this.#watched.keys()) {
          const text = select.get(id)?.record as string | undefined;
          if (text !== undefined) this.#hint(id, viewOf(JSON.parse(text) as ClusterRecord, nowMs));
        }
      }
    } catch {
      // The next exchange meets the same trouble, and says so.
    }
    this.#look = this.#clock.after(LOOK_EVERY_MS, () => this.#lookForChanges());
  }

  #hint(id: string, view: FleetView): void {
    const watched = this.#watched.get(id);
    const told = `${view.incarnation}/${view.generation}`;
    if (!watched || watched.told === told) return;
    watched.told = told;
    for (const onHint of watched.watchers) queueMicrotask(() => onHint(view));
  }

  #connect(): Connection {
    if (this.#closed) throw new Error("the store is closed");
    if (this.#connection) return this.#connection;
    mkdirSync(dirname(this.#file), { recursive: true });
    const database = new DatabaseSync(this.#file, { timeout: BUSY_TIMEOUT_MS });
    try {
      database.exec(SCHEMA);
      database.prepare("DELETE FROM breaker WHERE written_ms < ?").run(Math.round(this.#clock.now()) - KEPT_MS);
      this.#connection = {
        database,
        select: database.prepare("SELECT record FROM breaker WHERE id = ?"),
        upsert: database.prepare(
          `INSERT INTO breaker (id, record, written_ms) VALUES (?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET record = excluded.record, written_ms = excluded.written_ms`,
        ),
        version: database.prepare("PRAGMA data_version"),
      };
    } catch (error) {
      database.close();
      throw error;
    }
    return this.#connection;
  }

  #disconnect(): void {
    this.#connection?.database.close();
    this.#connection = undefined;
    this.#version = -1;
  }
}

/** SQLITE_BUSY and SQLITE_LOCKED, with their extended codes. */
function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" && ((code & 0xff) === 5 || (code & 0xff) === 6);
}
