import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Override, OverrideId, OverrideLayer, Overrides } from "../override.ts";
import type { OverrideStore, WriteResult } from "../override-store.ts";
import { overrideOf } from "./overrides.ts";

export interface StoreUnderTest {
  /** Another store on the same data, as another process would open it. Closed by the suite. */
  open(): OverrideStore;
  /** Puts something into a layer that no writer of ours has written; null where there is no way to. */
  plant: ((layer: OverrideLayer, id: OverrideId, text: string) => Promise<void>) | null;
  close(): Promise<void>;
}

/** What every store of overrides does, and does alike. */
export function describeOverrideStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`the ${name} store of overrides`, () => {
    let underTest: StoreUnderTest;
    let store: OverrideStore;
    let other: OverrideStore;
    let made = 0;
    let id: OverrideId;

    beforeEach(async () => {
      underTest = await make();
      store = underTest.open();
      other = underTest.open();
      id = { namespace: "shop", service: "storefront", target: `ledger-${made++}` };
    });

    afterEach(async () => {
      await store.close();
      await other.close();
      await underTest.close();
    });

    it("has nothing of a target that nobody wrote", async () => {
      const { controller, operator } = await store.read(id);
      expect([controller, operator]).toEqual([undefined, undefined]);
    });

    it("gives back what was written, to everybody, whole", async () => {
      const written: Override = {
        ...overrideOf({ epoch: 3, version: 1 }),
        values: { "breaker.failureRateThreshold": 0.35, "pool.size": 12 },
        reason: 'p0 = 2 %, "n" = 1000\n{ünïcode} \u{1f4c8}',
        signature: "ed25519:AAAA",
      };
      expect(await store.write("controller", id, written)).toEqual({ ok: true });
      expect((await other.read(id)).controller).toEqual(written);
      expect((await other.read(id)).operator).toBeUndefined();
    });

    it("keeps the layers apart, each with its own versions", async () => {
      await store.write("controller", id, overrideOf({ epoch: 5, version: 1 }));
      await store.write("controller", id, overrideOf({ epoch: 5, version: 2 }));
      expect(await store.write("operator", id, overrideOf({ epoch: 1, version: 1 }))).toEqual({ ok: true });
      const { controller, operator } = await store.read(id);
      expect([controller?.version, operator?.version]).toEqual([2, 1]);
    });

    it("keeps targets apart whose names only look alike", async () => {
      const slashed = { ...id, service: "a/b", target: "c" };
      const split = { ...id, service: "a", target: "b/c" };
      const braced = { ...id, service: "a}", target: "{c" };
      await store.write("controller", slashed, overrideOf({ values: { "pool.size": 1 } }));
      await store.write("controller", split, overrideOf({ values: { "pool.size": 2 } }));
      await store.write("controller", braced, overrideOf({ values: { "pool.size": 3 } }));
      const sizes = await Promise.all(
        [slashed, split, braced].map(async (each) => (await store.read(each)).controller),
      );
      expect(sizes.map((override) => override?.values["pool.size"])).toEqual([1, 2, 3]);
    });

    it("refuses a writer of an older term, and says what is stored", async () => {
      await store.write("controller", id, overrideOf({ epoch: 5, version: 1 }));
      const refused = await other.write("controller", id, overrideOf({ epoch: 4, version: 2 }));
      expect(refused).toEqual({ ok: false, reason: "stale-epoch", stored: { epoch: 5, version: 1 } });
      expect((await store.read(id)).controller?.epoch).toBe(5);
    });

    it.each([1, 3, 7])("refuses version %i after version 1", async (version) => {
      await store.write("controller", id, overrideOf({ epoch: 5, version: 1 }));
      const refused = await other.write("controller", id, overrideOf({ epoch: 6, version }));
      expect(refused).toEqual({ ok: false, reason: "version-conflict", stored: { epoch: 5, version: 1 } });
    });

    it("lets a new term go on with the versions of the old one", async () => {
      await store.write("controller", id, overrideOf({ epoch: 5, version: 1 }));
      expect(await other.write("controller", id, overrideOf({ epoch: 9, version: 2 }))).toEqual({ ok: true });
    });

    it("takes any first version: a store that lost its data must not make its writers start again", async () => {
      expect(await store.write("controller", id, overrideOf({ epoch: 2, version: 41 }))).toEqual({ ok: true });
      expect(await store.write("controller", id, overrideOf({ epoch: 2, version: 42 }))).toEqual({ ok: true });
    });

    it("lets one of several writers of the same version win", async () => {
      const writers = Array.from({ length: 10 }, (_, index) => overrideOf({ version: 1, author: `writer-${index}` }));
      const results = await Promise.all(
        writers.map((override, index) => (index % 2 ? store : other).write("controller", id, override)),
      );
      expect(results.filter((result) => result.ok)).toHaveLength(1);
      const winner = writers[results.findIndex((result) => result.ok)];
      expect((await store.read(id)).controller).toEqual(winner);
    });

    it("keeps a tombstone, and counts on from it", async () => {
      await store.write("operator", id, overrideOf({ version: 1 }));
      await store.write("operator", id, overrideOf({ version: 2, deleted: true, values: {} }));
      expect((await other.read(id)).operator).toMatchObject({ version: 2, deleted: true });
      expect(await other.write("operator", id, overrideOf({ version: 1 }))).toMatchObject({ ok: false });
      expect(await other.write("operator", id, overrideOf({ version: 3 }))).toEqual({ ok: true });
    });

    it("keeps what has expired: whether it counts is the reader's to say", async () => {
      await store.write("controller", id, overrideOf({ version: 1, expiresAtMs: 1_000 }));
      expect((await other.read(id)).controller).toMatchObject({ version: 1, expiresAtMs: 1_000 });
      expect(await other.write("controller", id, overrideOf({ version: 1 }))).toMatchObject({ ok: false });
    });

    it.each<[string, Partial<Override>]>([
      ["epoch", { epoch: -1 }],
      ["epoch", { epoch: 1.5 }],
      ["version", { version: 0 }],
      ["version", { version: Number.NaN }],
      ["version", { version: undefined as never }],
      ["expiresAtMs", { expiresAtMs: Number.POSITIVE_INFINITY }],
      ["pool.size", { values: { "pool.size": Number.NaN } }],
      ["pool.sise", { values: { "pool.sise": 1 } as never }],
      ["author", { author: undefined as never }],
      ["reason", { reason: "x".repeat(2_001) }],
    ])("refuses to store an override with a wrong %s", async (field, wrong) => {
      await expect(store.write("controller", id, { ...overrideOf({}), ...wrong })).rejects.toThrow(field);
      expect((await store.read(id)).controller).toBeUndefined();
    });

    it("tells a watcher what is stored, and what changes from wherever", async () => {
      await other.write("controller", id, overrideOf({ version: 1 }));
      const seen = follow(store, id);
      await seen.until((overrides) => overrides.controller?.version === 1);
      await other.write("controller", id, overrideOf({ version: 2 }));
      await seen.until((overrides) => overrides.controller?.version === 2);
      await store.write("operator", id, overrideOf({ version: 1 }));
      const last = await seen.until((overrides) => overrides.operator !== undefined);
      expect(last.controller?.version).toBe(2);
      expect(seen.ids).toEqual(seen.ids.map(() => id));
      seen.stop();
    });

    it("tells a watcher at the start that there is nothing", async () => {
      const seen = follow(store, id);
      const first = await seen.until(() => true);
      expect([first.controller, first.operator]).toEqual([undefined, undefined]);
    });

    it("tells a late watcher of the same target too, and one that has stopped nothing more", async () => {
      const early = follow(store, id);
      await early.until(() => true);
      const late = follow(store, id);
      await late.until(() => true);
      early.stop();
      await other.write("controller", id, overrideOf({ version: 1 }));
      await late.until((overrides) => overrides.controller?.version === 1);
      expect(early.calls).toBe(1);
    });

    it("tells nobody anything after it was closed, and may be closed twice", async () => {
      const seen = follow(store, id);
      await seen.until(() => true);
      await store.close();
      await store.close();
      await other.write("controller", id, overrideOf({ version: 1 }));
      const witness = follow(other, id);
      await witness.until((overrides) => overrides.controller?.version === 1);
      expect(seen.calls).toBe(1);
    });

    it("leaves out what it can't read, and lets it be overwritten", async () => {
      if (!underTest.plant) return;
      const unreadable = [
        "",
        "{",
        "null",
        '"text"',
        "[]",
        '{"schema":1}',
        '{"schema":2,"epoch":1,"version":1,"values":{}}',
      ];
      for (const text of unreadable) {
        await underTest.plant("controller", id, text);
        await store.write("operator", id, overrideOf({ version: ((await store.read(id)).operator?.version ?? 0) + 1 }));
        const { controller, operator } = await store.read(id);
        expect(controller).toBeUndefined();
        expect(operator).toBeDefined();
      }
      await underTest.plant("controller", id, "{");
      expect(await store.write("controller", id, overrideOf({ version: 9 }))).toEqual({ ok: true });
    });

    it("answers any sequence of writes as the rule says", async () => {
      const write = fc.record({
        layer: fc.constantFrom<OverrideLayer>("controller", "operator"),
        epoch: fc.integer({ min: 0, max: 3 }),
        version: fc.integer({ min: 1, max: 5 }),
        deleted: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(write, { maxLength: 12 }), async (writes) => {
          const target = { ...id, target: `model-${made++}` };
          const model = new Map<OverrideLayer, { epoch: number; version: number }>();
          for (const { layer, epoch, version, deleted } of writes) {
            const override = overrideOf({ epoch, version, ...(deleted && { deleted, values: {} }) });
            expect(await store.write(layer, target, override)).toEqual(modelWrite(model, layer, epoch, version));
          }
          const overrides = await other.read(target);
          for (const layer of ["controller", "operator"] as const) {
            const { epoch, version } = overrides[layer] ?? {};
            expect(epoch === undefined ? undefined : { epoch, version }).toEqual(model.get(layer));
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}

function modelWrite(
  model: Map<OverrideLayer, { epoch: number; version: number }>,
  layer: OverrideLayer,
  epoch: number,
  version: number,
): WriteResult {
  const stored = model.get(layer);
  if (stored && epoch < stored.epoch) return { ok: false, reason: "stale-epoch", stored };
  if (stored && version !== stored.version + 1) return { ok: false, reason: "version-conflict", stored };
  model.set(layer, { epoch, version });
  return { ok: true };
}

interface Followed {
  calls: number;
  ids: OverrideId[];
  /** Waits for the first telling that fits; the present one counts. */
  until(fits: (overrides: Overrides) => boolean): Promise<Overrides>;
  stop(): void;
}

/** Watches a target and lets a test wait for what it is told. */
export function follow(store: OverrideStore, id: OverrideId): Followed {
  let present: Overrides | undefined;
  let waiting: (() => void)[] = [];
  const followed: Followed = {
    calls: 0,
    ids: [],
    stop: () => stop(),
    async until(fits) {
      while (!present || !fits(present)) await new Promise<void>((resolve) => waiting.push(resolve));
      return present;
    },
  };
  const stop = store.watch([id], {
    onChange(overrides, changed) {
      present = overrides;
      followed.calls++;
      followed.ids.push(changed);
      for (const wake of waiting.splice(0)) wake();
    },
  });
  waiting = [];
  return followed;
}
