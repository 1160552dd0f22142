import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  type Clock,
  HoldfastError,
  type Logger,
  messageOf,
  numberOption,
  type Random,
  rateLimitedLogger,
  silentLogger,
  systemClock,
  systemRandom,
} from "@holdfast/core";
import type { Override, OverrideId, OverrideLayer, Overrides } from "./override.ts";
import { decodeOverride, encodeOverride, keptAfterExpiryMs, overrideScope } from "./override-codec.ts";
import { type OverrideListener, type OverrideStore, refuseWrite, type WriteResult } from "./override-store.ts";
import { OverrideWatcher } from "./override-watcher.ts";

export interface SqliteOverrideStoreOptions {
  /** The database's path; made, with its directory, when it does not exist. Other stores may use the same file. */
  file: string;
  /** Mean time between two polls, in milliseconds. Default 1_000, from 10 to 60_000. */
  pollMs?: number | undefined;
  logger?: Logger | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

/** node:sqlite waits on the main thread: a lock that lasts longer is an error of this look, not a stall of the service. */
const LOCK_WAIT_MS = 100;

/** At the start there is nothing to stall yet, and the instances of a host start together. */
const OPEN_WAIT_MS = 5_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS policy_overrides (
    scope TEXT NOT NULL,
    layer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    expires_at_ms REAL NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (scope, layer)
  ) STRICT, WITHOUT ROWID`;

/**
 * Overrides of the processes of one host, in a file, with no server. There are no hints between processes; a poll is a
 * few microseconds.
 *
 * @throws HoldfastError POLICY_STORE_UNAVAILABLE when the file can't be opened
 */
export function sqliteOverrideStore(options: SqliteOverrideStoreOptions): OverrideStore {
  return new SqliteOverrideStore(options);
}

class SqliteOverrideStore implements OverrideStore {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #watcher: OverrideWatcher;
  #open = true;

  constructor(options: SqliteOverrideStoreOptions) {
    const { file, logger = silentLogger, clock = systemClock, random = systemRandom } = options;
    const pollMs = numberOption("pollMs", options.pollMs, 1_000, { min: 10, max: 60_000 });
    this.#clock = clock;
    this.#logger = rateLimitedLogger(logger, { clock });
    this.#database = attempt(() => open(file));
    const readMany = async (ids: readonly OverrideId[]): Promise<Overrides[]> => ids.map((id) => this.#read(id));
    this.#watcher = new OverrideWatcher({ readMany, pollMs, clock, random });
  }

  async read(id: OverrideId): Promise<Overrides> {
    return this.#read(id);
  }

  async write(layer: OverrideLayer, id: OverrideId, override: Override): Promise<WriteResult> {
    const body = encodeOverride(override);
    const scope = overrideScope(id);
    const result = attempt(() => this.#transaction(() => this.#compareAndSet(scope, layer, override, body)));
    if (result.ok) this.#watcher.hint(scope);
    return result;
  }

  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void {
    return this.#watcher.watch(ids, listener);
  }

  close(): Promise<void> {
    this.#watcher.close();
    if (this.#open) this.#database.close();
    this.#open = false;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read(id: OverrideId): Overrides {
    const scope = overrideScope(id);
    const rows = attempt(() =>
      this.#database.prepare("SELECT layer, body FROM policy_overrides WHERE scope = ?").all(scope),
    );
    const overrides: Overrides = {};
    for (const { layer, body } of rows) {
      try {
        overrides[layer as OverrideLayer] = decodeOverride(String(body));
      } catch (error) {
        this.#logger.warn({ scope, layer, error: messageOf(error) }, "a stored override can't be read");
      }
    }
    return overrides;
  }

  #compareAndSet(scope: string, layer: OverrideLayer, override: Override, body: string): WriteResult {
    const stored = this.#database
      .prepare("SELECT epoch, version FROM policy_overrides WHERE scope = ? AND layer = ?")
      .get(scope, layer) as { epoch: number; version: number } | undefined;
    const refused = refuseWrite(stored, override);
    if (refused) return refused;
    const { epoch, version, expiresAtMs } = override;
    this.#database
      .prepare("INSERT OR REPLACE INTO policy_overrides VALUES (?, ?, ?, ?, ?, ?)")
      .run(scope, layer, epoch, version, expiresAtMs, body);
    this.#database
      .prepare("DELETE FROM policy_overrides WHERE expires_at_ms < ? AND NOT (scope = ? AND layer = ?)")
      .run(this.#clock.now() - keptAfterExpiryMs, scope, layer);
    return { ok: true };
  }

  #transaction<T>(run: () => T): T {
    // IMMEDIATE takes the write lock before the read: two writers can't both compare with the same version.
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = run();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

function open(file: string): DatabaseSync {
  if (file !== ":memory:") mkdirSync(dirname(resolve(file)), { recursive: true });
  const database = new DatabaseSync(file, { timeout: OPEN_WAIT_MS });
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = NORMAL");
  database.exec(SCHEMA);
  database.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
  return database;
}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new HoldfastError("POLICY_STORE_UNAVAILABLE", `the SQLite store of overrides: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
