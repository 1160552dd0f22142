import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Clock, systemClock } from "@holdfast/core";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ClusterRecord } from "./cluster-state.ts";
import { sqliteStore } from "./sqlite-store.ts";
import type { BreakerStore } from "./store.ts";
import { request } from "./testing/requests.ts";
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

describe("a sqlite store", () => {
  function temporary(): string {
    const directory = mkdtempSync(join(tmpdir(), "holdfast-breaker-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    return join(directory, "breakers.db");
  }

  it("loses no count when several processes write as fast as they can", async () => {
    const file = temporary();
    const contender = fileURLToPath(new URL("testing/sqlite-contender.ts", import.meta.url));
    const names = ["one", "two", "three"];
    const outputs = await Promise.all(
      names.map((name) =>
        promisify(execFile)(process.execPath, ["--conditions=@holdfast/source", contender, file, name, "200"]),
      ),
    );
    expect(outputs.map(({ stdout }) => stdout.trim())).toEqual(["0", "0", "0"]);
    const database = new DatabaseSync(file);
    onTestFinished(() => database.close());
    const { record } = database.prepare("SELECT record FROM breaker").get() as { record: string };
    const { domains } = JSON.parse(record) as ClusterRecord;
    const counted = Object.values(domains).map(({ buckets }) => buckets.reduce((sum, bucket) => sum + bucket[1], 0));
    expect(counted).toEqual([200, 200, 200]);
  });

  it("is out of reach while its file is no database, and back once it is one", async () => {
    const file = temporary();
    writeFileSync(file, "this is not a database, and long enough to be taken for one that is broken".repeat(100));
    await using store = sqliteStore({ file });
    const heard: boolean[] = [];
    store.onSharing((sharing) => void heard.push(sharing));
    await expect(store.sync([request()])).rejects.toThrow("not a database");
    rmSync(file);
    await store.sync([request()]);
    expect(heard).toEqual([false, true]);
  });
});
