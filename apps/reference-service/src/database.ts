import { setTimeout as delay } from "node:timers/promises";
import { type Holdfast, type Logger, messageOf, type TunedPool } from "@holdfast/sdk";
import { Pool, type PoolClient } from "pg";

export interface DatabaseOptions {
  url: string;
  /** The target in the policy whose `pool.size` is followed. */
  target: string;
  /** How long a caller waits for a connection before it fails, in milliseconds. Default 1_000. */
  waitMs?: number | undefined;
  /** When Postgres itself gives up on a statement, in milliseconds. Default 2_000. */
  statementMs?: number | undefined;
}

/** There was no connection to be had. 503: another instance, or a later time, may have one. */
export class DatabaseUnavailableError extends Error {
  override readonly name: string = "DatabaseUnavailableError";
  readonly statusCode = 503;
}

/**
 * pg's pool, made to change its size while it works.
 *
 * pg looks at `options.max` whenever it wonders whether to open a connection, so that assigning it is half of a resize.
 * The other half is what happens to those who wait already (growing) and to connections that are too many (shrinking).
 */
export class Database {
  readonly #pool: Pool;
  readonly #logger: Logger;
  readonly #tuned: TunedPool;

  constructor(hf: Pick<Holdfast, "log" | "policy" | "tunePool">, options: DatabaseOptions) {
    const { url, target, waitMs = 1_000, statementMs = 2_000 } = options;
    this.#logger = hf.log;
    this.#pool = new Pool({
      connectionString: url,
      max: hf.policy.target(target).current.pool.size,
      connectionTimeoutMillis: waitMs,
      statement_timeout: statementMs,
      // A connection that was opened for one burst and closed after it costs the next burst a handshake.
      idleTimeoutMillis: 60_000,
    });
    // An idle connection that Postgres closes is no reason to die: the pool has dropped it by then.
    this.#pool.on("error", (error) =>
      this.#logger.warn({ error: messageOf(error) }, "lost an idle database connection"),
    );
    // One that is lost while it is in use says so twice: to the query, which fails, and as an event. Unheard, the event
    // would end the process.
    this.#pool.on("connect", (client) => client.on("error", () => {}));
    this.#tuned = hf.tunePool(target, this);
  }

  /** Connections that may be open. */
  size(): number {
    return this.#pool.options.max!;
  }

  /** Connections that carry work. */
  inUse(): number {
    return this.#pool.totalCount - this.#pool.idleCount;
  }

  /** Callers that wait for a connection. */
  pending(): number {
    return this.#pool.waitingCount;
  }

  /** Grows at once, for those who wait too. Shrinks by closing idle connections now and busy ones as they come back. */
  resize(size: number): void {
    const { options, waitingCount, idleCount, totalCount } = this.#pool;
    const room = size - options.max!;
    options.max = size;
    const visits = room > 0 ? Math.min(room, waitingCount) : Math.min(idleCount, totalCount - size);
    // Who visits opens a connection and, giving it back, passes it to who waits; or finds an idle one and leaves it closed.
    for (let visit = 0; visit < visits; visit++) void this.#visit();
  }

  /** Runs `work` inside one transaction; an error of its own rolls it back and passes through. */
  async transaction<T>(work: (sql: PoolClient) => Promise<T>): Promise<T> {
    const sql = await this.#connect();
    try {
      await sql.query("BEGIN");
      const result = await work(sql);
      await sql.query("COMMIT");
      this.#giveBack(sql);
      return result;
    } catch (error) {
      await sql.query("ROLLBACK").then(
        () => this.#giveBack(sql),
        // Nobody knows what state it is in: the next one to use it should not find out.
        (failure: Error) => this.#giveBack(sql, failure),
      );
      throw error;
    }
  }

  /** Fails when Postgres does not answer. */
  async ping(): Promise<void> {
    const sql = await this.#connect();
    await sql.query("SELECT 1").finally(() => this.#giveBack(sql));
  }

  /**
   * Runs `statements` in one transaction as soon as Postgres is up, one instance of the fleet at a time: CREATE TABLE IF
   * NOT EXISTS fails when two run it at once.
   *
   * @throws AbortError, when the signal aborts first
   */
  async createSchema(statements: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.transaction(async (sql) => {
          await sql.query("SELECT pg_advisory_xact_lock(hashtext('holdfast.reference.schema'))");
          await sql.query(statements);
        });
      } catch (error) {
        this.#logger.info({ error: messageOf(error) }, "waiting for the database");
        // Not a timer that lets the process end: nothing else may hold it yet.
        await delay(500, undefined, { signal });
      }
    }
  }

  /** Takes connections and keeps them, as a leak would, until the function it returns is called. */
  occupy(connections: number): () => void {
    const taken = Array.from({ length: Math.min(connections, this.size()) }, () => this.#pool.connect());
    return () => {
      for (const connection of taken)
        connection.then(
          (sql) => this.#giveBack(sql),
          () => {}, // it was never got
        );
    };
  }

  /** Waits for the work in flight. */
  async close(): Promise<void> {
    this.#tuned.close();
    await this.#pool.end();
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#tuned.measure(() => this.#pool.connect());
    } catch (cause) {
      throw new DatabaseUnavailableError(`no database connection: ${messageOf(cause)}`, { cause });
    }
  }

  /** @param broken why nobody should use it again */
  #giveBack(sql: PoolClient, broken?: Error): void {
    sql.release(broken ?? this.#pool.totalCount > this.size());
    this.#tuned.released(sql);
  }

  async #visit(): Promise<void> {
    try {
      this.#giveBack(await this.#pool.connect());
    } catch (error) {
      this.#logger.debug({ error: messageOf(error) }, "a resized pool could not open a connection yet");
    }
  }
}
