import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { overrideScope } from "./override-codec.ts";
import { sqliteOverrideStore } from "./sqlite.ts";
import { describeOverrideStore } from "./testing/override-store-conformance.ts";
import { overrideOf } from "./testing/overrides.ts";

describeOverrideStore("SQLite", async () => {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-policy-"));
  const file = join(directory, "store.db");
  return {
    open: () => sqliteOverrideStore({ file, pollMs: 10 }),
    async plant(layer, id, text) {
      const database = new DatabaseSync(file);
      database
        .prepare("INSERT OR REPLACE INTO policy_overrides VALUES (?, ?, 1, 8, 1e15, ?)")
        .run(overrideScope(id), layer, text);
      database.close();
    },
    close: () => rm(directory, { recursive: true }),
  };
});

describe("the SQLite store's file", () => {
  const id = { namespace: "shop", service: "storefront", target: "ledger" };
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "holdfast-policy-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("is made with its directory, and outlives the process that wrote it", async () => {
    const file = join(directory, "deep", "er", "store.db");
    const first = sqliteOverrideStore({ file });
    await first.write("controller", id, overrideOf({ version: 1 }));
    await first.close();
    await using second = sqliteOverrideStore({ file });
    expect((await second.read(id)).controller?.version).toBe(1);
  });

  it("is refused with its reason when it is no database", async () => {
    expect(() => sqliteOverrideStore({ file: directory })).toThrow(
      expect.objectContaining({ code: "POLICY_STORE_UNAVAILABLE" }),
    );
  });

  it("locked by another writer is an error of one call, and still readable", async () => {
    const file = join(directory, "store.db");
    await using store = sqliteOverrideStore({ file });
    await store.write("controller", id, overrideOf({ version: 1 }));
    const locker = new DatabaseSync(file);
    locker.exec("BEGIN IMMEDIATE");
    await expect(store.write("controller", id, overrideOf({ version: 2 }))).rejects.toMatchObject({
      code: "POLICY_STORE_UNAVAILABLE",
      message: expect.stringContaining("locked"),
    });
    expect((await store.read(id)).controller?.version).toBe(1);
    locker.exec("ROLLBACK");
    locker.close();
    expect(await store.write("controller", id, overrideOf({ version: 2 }))).toEqual({ ok: true });
  });

  it("tells watchers when it can't be read, and when it can again", async () => {
    const file = join(directory, "store.db");
    await using store = sqliteOverrideStore({ file, pollMs: 10 });
    const vandal = new DatabaseSync(file);
    const heard: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    store.watch([id], {
      onChange() {
        heard.push("change");
        vandal.exec("ALTER TABLE policy_overrides RENAME TO away");
      },
      onError() {
        if (heard.at(-1) !== "error") vandal.exec("ALTER TABLE away RENAME TO policy_overrides");
        heard.push("error");
      },
      onRecovery() {
        heard.push("recovery");
        resolve();
      },
    });
    await promise;
    vandal.close();
    expect(heard).toEqual(["change", "error", "recovery"]);
  });

  it("forgets what has expired long ago", async () => {
    const file = join(directory, "store.db");
    await using store = sqliteOverrideStore({ file });
    await store.write("controller", id, overrideOf({ expiresAtMs: 1_000 }));
    await store.write("controller", { ...id, target: "other" }, overrideOf({}));
    expect((await store.read(id)).controller).toBeUndefined();
  });
});
