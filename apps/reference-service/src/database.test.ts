import { silentLogger } from "@holdfast/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "../../demo/src/embedded-postgres.ts";
import { Database, DatabaseUnavailableError } from "./database.ts";
import { bookEntry, readBalance, schema } from "./entries.ts";

let postgres: EmbeddedPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
});

/** A database whose pool nobody tunes, and how it told of its connections. */
function open(size: number, options: { url?: string; waitMs?: number } = {}) {
  const held = new Set<unknown>();
  const hf = {
    log: silentLogger,
    policy: { target: () => ({ current: { pool: { size } } }) },
    tunePool: () => ({
      measure: async (acquire: () => PromiseLike<unknown>) => {
        const connection = await acquire();
        held.add(connection);
        return connection;
      },
      released: (connection: unknown) => held.delete(connection),
      close: () => {},
    }),
  } as unknown as ConstructorParameters<typeof Database>[0];
  // A name of its own, so that it can be told from the pools of other tests.
  const url = `${postgres.url}?application_name=${crypto.randomUUID()}`;
  const database = new Database(hf, { url, target: "postgres", ...options });
  return { database, held, [Symbol.asyncDispose]: () => database.close() };
}

/** A transaction that ends when it is told to, and a promise of its having begun. */
function longTransaction(database: Database) {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const done = database.transaction(async (sql) => {
    begun.resolve();
    await end.promise;
    return (await sql.query<{ one: number }>("SELECT 1 AS one")).rows[0]!.one;
  });
  return { begun: begun.promise, end: () => end.resolve(), done };
}

async function openConnections(database: Database): Promise<number> {
  return await database.transaction(async (sql) => {
    const { rows } = await sql.query<{ count: string }>(
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')",
    );
    return Number(rows[0]!.count);
  });
}

describe("the pool", () => {
  it("serves who waits already as soon as it grows", async () => {
    await using opened = open(1);
    const { database } = opened;
    const first = longTransaction(database);
    await first.begun;
    const waiting = Array.from({ length: 5 }, () => longTransaction(database));
    expect([database.size(), database.inUse(), database.pending()]).toEqual([1, 1, 5]);

    database.resize(4);
    // Without any connection being given back: three of the five begin.
    await Promise.race(waiting.map(({ begun }) => begun));
    await Promise.all(waiting.slice(0, 3).map(({ begun }) => begun));
    expect(database.inUse()).toBe(4);
    expect(database.pending()).toBe(2);

    for (const { end } of [first, ...waiting]) end();
    expect(await Promise.all([first, ...waiting].map(({ done }) => done))).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it("shrinks without dropping what is in flight, and comes down to its new size", async () => {
    await using opened = open(8);
    const { database } = opened;
    const busy = Array.from({ length: 8 }, () => longTransaction(database));
    await Promise.all(busy.map(({ begun }) => begun));

    database.resize(2);
    expect(database.size()).toBe(2);
    expect(database.inUse()).toBe(8);
    for (const { end } of busy) end();
    expect(await Promise.all(busy.map(({ done }) => done))).toEqual(Array(8).fill(1));
    expect(database.inUse()).toBe(0);
  });

  it("closes idle connections at once when it shrinks", async () => {
    await using opened = open(6);
    const { database } = opened;
    const busy = Array.from({ length: 6 }, () => longTransaction(database));
    for (const { end } of busy) end();
    await Promise.all(busy.map(({ done }) => done));
    expect(await openConnections(database)).toBe(6);
    database.resize(1);
    await expect.poll(() => openConnections(database), { interval: 10, timeout: 10_000 }).toBe(1);
  });

  it("fails no call while it is resized up and down under load", async () => {
    await using opened = open(10);
    const { database } = opened;
    let resizes = 0;
    const sizes = [2, 7, 1, 10, 3, 5];
    const worker = async (): Promise<number> => {
      for (let call = 0; call < 40; call++) {
        await database.transaction((sql) => sql.query("SELECT pg_sleep(0.001)"));
        if (call % 4 === 0) database.resize(sizes[resizes++ % sizes.length]!);
      }
      return 40;
    };
    const calls = await Promise.all(Array.from({ length: 12 }, worker));
    expect(calls.reduce((sum, count) => sum + count)).toBe(480);
    expect(resizes).toBeGreaterThan(100);
    database.resize(2);
    await expect.poll(() => openConnections(database), { interval: 10, timeout: 10_000 }).toBeLessThanOrEqual(2);
    expect(database.inUse()).toBe(0);
    expect(opened.held.size).toBe(0);
  });

  it("says 503 when no connection came free in time, and goes on when they come back", async () => {
    await using opened = open(2, { waitMs: 50 });
    const { database } = opened;
    const giveBack = database.occupy(99);
    await expect(database.ping()).rejects.toThrow(DatabaseUnavailableError);
    await expect(database.ping()).rejects.toMatchObject({ statusCode: 503 });
    giveBack();
    await expect.poll(() => database.inUse(), { timeout: 10_000 }).toBe(0);
    await database.ping();
  });

  it("outlives a connection that the server takes away while it is in use", async () => {
    await using opened = open(2);
    const { database } = opened;
    await expect(
      database.transaction((sql) => sql.query("SELECT pg_terminate_backend(pg_backend_pid())")),
    ).rejects.toThrow(/terminating connection/);
    expect(opened.held.size).toBe(0);
    await database.ping();
  });
});

describe("the schema", () => {
  it("is created by several instances at once", async () => {
    const instances = Array.from({ length: 4 }, () => open(1));
    const { signal } = new AbortController();
    await Promise.all(instances.map(({ database }) => database.createSchema(schema, signal)));
    await Promise.all(instances.map(({ database }) => database.close()));
  });

  it("is waited for until the service is told to stop", async () => {
    await using opened = open(1, { url: "postgres://nobody@127.0.0.1:1/none" });
    const stop = new AbortController();
    const created = opened.database.createSchema(schema, stop.signal);
    stop.abort();
    await expect(created).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
  });
});

describe("an entry", () => {
  it("is booked once, however many instances are asked at the same time", async () => {
    await using opened = open(8);
    const { database } = opened;
    await database.createSchema(schema, new AbortController().signal);
    const before = await database.transaction(readBalance);
    const order = { orderId: crypto.randomUUID(), amountCents: 250 };
    const bookings = await Promise.all(
      Array.from({ length: 8 }, () => database.transaction((sql) => bookEntry(sql, order, 1))),
    );
    expect(bookings.filter(({ outcome }) => outcome === "booked")).toHaveLength(1);
    expect(bookings.filter(({ outcome }) => outcome === "booked-before")).toHaveLength(7);
    expect(new Set(bookings.map((booking) => "entryId" in booking && booking.entryId)).size).toBe(1);

    const after = await database.transaction(readBalance);
    expect(after.entries - before.entries).toBe(1);
    expect(after.amountCents - before.amountCents).toBe(250);
    expect(after.entriesCents).toBe(after.amountCents);
  });

  it("is a conflict when it comes again with another amount", async () => {
    await using opened = open(1);
    const { database } = opened;
    await database.createSchema(schema, new AbortController().signal);
    const orderId = crypto.randomUUID();
    const book = (amountCents: number) => database.transaction((sql) => bookEntry(sql, { orderId, amountCents }, 0));
    await book(100);
    expect(await book(101)).toEqual({ outcome: "conflict" });
  });
});
