import type { PoolClient } from "pg";
import type { Order } from "./order.ts";

/**
 * The balance is kept in parts: a single row would be locked by one entry at a time, and all the connections of the
 * fleet would wait for each other there.
 */
export const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text NOT NULL UNIQUE,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    booked_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS balances (
    part integer PRIMARY KEY,
    amount_cents bigint NOT NULL
  );
  INSERT INTO balances SELECT part, 0 FROM generate_series(0, 15) AS part ON CONFLICT DO NOTHING;
`;

export type Booking =
  | { outcome: "booked" | "booked-before"; entryId: string }
  /** The key belongs to an entry of another amount: this is no repetition, it is a mistake. */
  | { outcome: "conflict" };

/**
 * Books an order unless it was booked before. Run it in a transaction.
 *
 * @param workMs how long Postgres takes on top, in milliseconds: shows what waiting for connections looks like
 */
export async function bookEntry(sql: PoolClient, order: Order, workMs: number): Promise<Booking> {
  const { orderId, amountCents } = order;
  const inserted = await sql.query<{ id: string }>(
    "INSERT INTO entries (idempotency_key, amount_cents) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id",
    [orderId, amountCents],
  );
  const [entry] = inserted.rows;
  if (!entry) {
    const found = await sql.query<{ id: string; same: boolean }>(
      "SELECT id, amount_cents = $2 AS same FROM entries WHERE idempotency_key = $1",
      [orderId, amountCents],
    );
    const { id, same } = found.rows[0]!;
    return same ? { outcome: "booked-before", entryId: id } : { outcome: "conflict" };
  }
  // Before the balance is locked, so that entries work side by side.
  if (workMs > 0) await sql.query("SELECT pg_sleep($1)", [workMs / 1_000]);
  await sql.query("UPDATE balances SET amount_cents = amount_cents + $2 WHERE part = (hashtext($1) & 15)", [
    orderId,
    amountCents,
  ]);
  return { outcome: "booked", entryId: entry.id };
}

export interface Balance {
  entries: number;
  amountCents: number;
  /** What the entries add up to: always the same as `amountCents`. */
  entriesCents: number;
}

export async function readBalance(sql: PoolClient): Promise<Balance> {
  // bigint and numeric come as text from pg: they may be larger than a number can say. These are not.
  const { rows } = await sql.query<Record<keyof Balance, string>>(`
    SELECT (SELECT count(*) FROM entries) AS "entries",
           (SELECT coalesce(sum(amount_cents), 0) FROM entries) AS "entriesCents",
           (SELECT coalesce(sum(amount_cents), 0) FROM balances) AS "amountCents"`);
  const { entries, amountCents, entriesCents } = rows[0]!;
  return { entries: Number(entries), amountCents: Number(amountCents), entriesCents: Number(entriesCents) };
}
