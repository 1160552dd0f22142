import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Clock, systemClock } from "@holdfast/core";
import { sqliteStore } from "./sqlite-store.ts";
import type { BreakerStore } from "./store.ts";
import { storeConformance } from "./testing/store-conformance.ts";

storeConformance("sqlite", () => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-breaker-"));
  const file = join(directory, "not", "there", "yet.db");
  let nowMs = 0;
  const clock: Clock = { ...systemClock, now: () => nowMs };
  const stores: BreakerStore[] = [];
  const admin = (sql: string, ...values: string[]): void => {
    const database = new DatabaseSync(file, { timeout: 1_000 });
    database.prepare(sql).run(...values);
    database.close();
  };
  return Promise.resolve({
    connect() {
      const store = sqliteStore({ file, clock });
      stores.push(store);
      return Promise.resolve(store);
    },
    setClock(ms) {
      nowMs = ms;
      return Promise.resolve();
    },
    lose: () => Promise.resolve(admin("DELETE FROM breaker")),
    makeForeign: (id) =>
      Promise.resolve(admin("UPDATE breaker SET record = json_set(record, '$.schema', 2) WHERE id = ?", id)),
    async close() {
      await Promise.all(stores.map((store) => store.close()));
      rmSync(directory, { recursive: true, force: true });
    },
  });
});
