import type { Holdfast } from "@holdfast/sdk";
import CircuitBreaker from "opossum";
import { serveAdmin } from "./admin.ts";
import { BreakerJournal } from "./breaker-journal.ts";
import type { LedgerConfig } from "./config.ts";
import { Database } from "./database.ts";
import { bookEntry, readBalance, schema } from "./entries.ts";
import { Faults } from "./faults.ts";
import { InvalidOrderError, type Order, readOrder } from "./order.ts";
import { webApp } from "./web-app.ts";

/** Books orders in Postgres, each once, and keeps the balance. */
export async function startLedger(hf: Holdfast, config: LedgerConfig): Promise<void> {
  const database = new Database(hf, { url: config.databaseUrl, target: "postgres" });
  hf.onShutdown("release", "postgres", () => database.close());
  hf.lifecycle.addCheck("postgres", () => database.ping());

  const book = new CircuitBreaker(
    (order: Order) => database.transaction((sql) => bookEntry(sql, order, config.workMs)),
    { name: "postgres", timeout: 3_000 },
  );

  const faults = new Faults({ occupyPool: (connections) => database.occupy(connections) });
  const journal = new BreakerJournal(hf.log);
  journal.watch(hf.shareCircuit("postgres", book));
  await serveAdmin(hf, config.admin, faults, journal);
  await database.createSchema(schema, hf.lifecycle.signal);

  const app = webApp(hf.log, faults);
  app.post("/entries", async (request, reply) => {
    const order = readOrder(request.body);
    if (request.headers["idempotency-key"] !== order.orderId)
      throw new InvalidOrderError("the header Idempotency-Key must be the orderId");
    const booking = await book.fire(order);
    if (booking.outcome === "conflict")
      return reply.code(409).send({ error: "CONFLICT", message: "this order is booked with another amount" });
    return reply.code(booking.outcome === "booked" ? 201 : 200).send({ entryId: booking.entryId });
  });
  app.get("/balance", () => database.transaction(readBalance));

  const { port } = await hf.serve(app, config.listen);
  hf.log.info({ port }, "listening");
}
