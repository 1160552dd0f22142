import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Override } from "./override.ts";
import { parsePolicy } from "./parse-policy.ts";
import { TargetLayers } from "./target-layers.ts";
import type { TargetPolicy } from "./target-policy.ts";
import { overrideOf } from "./testing/overrides.ts";

const NOW = Date.UTC(2026, 0, 1);

function target(tuning: string): TargetPolicy {
  return parsePolicy(`
apiVersion: holdfast.dev/v1alpha1
kind: Policy
targets:
  ledger: { pool: { size: 4 }, tuning: ${tuning} }
`).target("ledger");
}

const applied = target("{ mode: apply, bounds: { pool.size: { min: 2, max: 20 } } }");

function inForce(layers: TargetLayers): Record<string, [number, string]> {
  return Object.fromEntries([...layers.values()].map(([knob, { value, layer }]) => [knob, [value, layer]]));
}

describe("a target's layers", () => {
  it("take a controller's value within its bounds", () => {
    const layers = new TargetLayers();
    expect(layers.accept(applied, { controller: overrideOf({ values: { "pool.size": 8 } }) }, NOW)).toEqual([]);
    expect(inForce(layers)).toEqual({ "pool.size": [8, "controller"] });
  });

  it("put a person above the controller, value by value", () => {
    const layers = new TargetLayers();
    const controller = overrideOf({ values: { "pool.size": 8 } });
    const operator = overrideOf({ values: { "breaker.failureRateThreshold": 0.9 } });
    layers.accept(applied, { controller, operator }, NOW);
    expect(inForce(layers)).toEqual({
      "pool.size": [8, "controller"],
      "breaker.failureRateThreshold": [0.9, "operator"],
    });
    layers.accept(applied, { controller, operator: overrideOf({ version: 2, values: { "pool.size": 3 } }) }, NOW);
    expect(inForce(layers)).toEqual({ "pool.size": [3, "operator"] });
  });

  it.each<[string, TargetPolicy, Partial<Override>, string]>([
    ["above its bounds", applied, { values: { "pool.size": 21 } }, "pool.size is bound to 2 to 20, 21 is outside"],
    ["below its bounds", applied, { values: { "pool.size": 1 } }, "pool.size is bound to 2 to 20, 1 is outside"],
    [
      "no whole number",
      applied,
      { values: { "pool.size": 4.5 } },
      "pool.size must be a whole number from 1 to 10000, not 4.5",
    ],
    [
      "without bounds",
      applied,
      { values: { "breaker.failureRateThreshold": 0.4 } },
      "breaker.failureRateThreshold has no bounds: the controller may not move it",
    ],
    [
      "half of it good",
      applied,
      { values: { "pool.size": 8, "breaker.failureRateThreshold": 0.4 } },
      "breaker.failureRateThreshold has no bounds: the controller may not move it",
    ],
    [
      "in shadow mode",
      target("{ bounds: { pool.size: { min: 2, max: 20 } } }"),
      {},
      "the target's tuning.mode is shadow",
    ],
    [
      "with tuning off",
      target("{ mode: off, bounds: { pool.size: { min: 2, max: 20 } } }"),
      {},
      "the target's tuning.mode is off",
    ],
  ])("refuse a controller's value %s", (_name, base, fields, reason) => {
    const layers = new TargetLayers();
    const override = overrideOf({ epoch: 3, version: 7, decisionId: "d-9", ...fields });
    const refused = layers.accept(base, { controller: override }, NOW);
    expect(refused).toEqual([{ layer: "controller", epoch: 3, version: 7, decisionId: "d-9", reason, atMs: NOW }]);
    expect(layers.rejected).toEqual(refused);
    expect(inForce(layers)).toEqual({});
  });

  it("bind a person by the document's bounds too, and where it has none by what any document may say", () => {
    const layers = new TargetLayers();
    expect(layers.accept(applied, { operator: overrideOf({ values: { "pool.size": 21 } }) }, NOW)).toHaveLength(1);
    const wide = overrideOf({ version: 2, values: { "breaker.failureRateThreshold": 1.5 } });
    expect(layers.accept(applied, { operator: wide }, NOW)).toHaveLength(1);
    const fair = overrideOf({ version: 3, values: { "breaker.failureRateThreshold": 1 } });
    expect(layers.accept(applied, { operator: fair }, NOW)).toEqual([]);
    expect(layers.rejected).toEqual([]);
    expect(layers.rejections).toBe(2);
  });

  it("keep the last good value when a newer one is refused", () => {
    const layers = new TargetLayers();
    layers.accept(applied, { controller: overrideOf({ version: 1, values: { "pool.size": 8 } }) }, NOW);
    layers.accept(applied, { controller: overrideOf({ version: 2, values: { "pool.size": 800 } }) }, NOW);
    expect(layers.controller?.version).toBe(1);
    expect(inForce(layers)).toEqual({ "pool.size": [8, "controller"] });
  });

  it("say of each refusal once, however often it is read", () => {
    const layers = new TargetLayers();
    const controller = overrideOf({ values: { "pool.size": 800 } });
    expect(layers.accept(applied, { controller }, NOW)).toHaveLength(1);
    expect(layers.accept(applied, { controller }, NOW)).toHaveLength(0);
    expect(layers.rejections).toBe(1);
  });

  it("hold what they have when the store has lost it, until it expires; a tombstone ends it at once", () => {
    const layers = new TargetLayers();
    const controller = overrideOf({ version: 3, expiresAtMs: NOW + 1_000 });
    layers.accept(applied, { controller }, NOW);
    layers.accept(applied, {}, NOW + 1);
    expect(inForce(layers)).toEqual({ "pool.size": [8, "controller"] });
    layers.accept(applied, {}, NOW + 1_000);
    expect(inForce(layers)).toEqual({});

    layers.accept(applied, { controller: overrideOf({ version: 4 }) }, NOW);
    layers.accept(applied, { controller: overrideOf({ version: 5, deleted: true, values: {} }) }, NOW);
    expect(inForce(layers)).toEqual({});
  });

  it("take a version that counts from 1 again after the store lost its data, and only then", () => {
    const layers = new TargetLayers();
    const size = (version: number, value: number) => ({
      controller: overrideOf({ version, values: { "pool.size": value } }),
    });
    layers.accept(applied, size(41, 8), NOW);
    layers.accept(applied, size(1, 9), NOW);
    expect(inForce(layers)).toEqual({ "pool.size": [8, "controller"] });
    layers.accept(applied, {}, NOW);
    layers.accept(applied, size(1, 9), NOW);
    expect(inForce(layers)).toEqual({ "pool.size": [9, "controller"] });
  });

  it("end an older value when a newer one arrives expired", () => {
    const layers = new TargetLayers();
    layers.accept(applied, { controller: overrideOf({ version: 1 }) }, NOW);
    expect(layers.accept(applied, { controller: overrideOf({ version: 2, expiresAtMs: NOW }) }, NOW)).toEqual([]);
    expect(inForce(layers)).toEqual({});
  });

  it("look again at everything when the document below changes", () => {
    const layers = new TargetLayers();
    const stored = {
      controller: overrideOf({ values: { "pool.size": 25 } }),
      operator: overrideOf({ values: { "pool.size": 3 } }),
    };
    layers.accept(applied, stored, NOW);
    expect(inForce(layers)).toEqual({ "pool.size": [3, "operator"] });
    const shifted = parsePolicy(`
apiVersion: holdfast.dev/v1alpha1
kind: Policy
targets:
  ledger: { tuning: { mode: apply, bounds: { pool.size: { min: 5, max: 30 } } } }
`).target("ledger");
    const refused = layers.rebase(shifted, stored, NOW);
    expect(refused.map(({ layer }) => layer)).toEqual(["operator"]);
    expect(inForce(layers)).toEqual({ "pool.size": [25, "controller"] });
  });

  it("never leave the bounds and never go back, whatever is stored in whatever order", () => {
    const stored = fc.record({
      epoch: fc.integer({ min: 0, max: 3 }),
      version: fc.integer({ min: 1, max: 6 }),
      size: fc.oneof(fc.integer({ min: -5, max: 40 }), fc.double()),
      lifeMs: fc.integer({ min: -5, max: 50 }),
      deleted: fc.boolean(),
      stepMs: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(stored, { maxLength: 30 }), (reads) => {
        const layers = new TargetLayers();
        let now = NOW;
        let last = { epoch: -1, version: 0 };
        for (const { epoch, version, size, lifeMs, deleted, stepMs } of reads) {
          now += stepMs;
          const values = { "pool.size": size };
          const controller = overrideOf({
            epoch,
            version,
            values,
            expiresAtMs: now + lifeMs,
            ...(deleted && { deleted }),
          });
          layers.accept(applied, { controller }, now);
          const held = layers.controller;
          if (!held) continue;
          expect(held.expiresAtMs).toBeGreaterThan(now);
          expect(held.values["pool.size"]).toSatisfy((n: number) => Number.isInteger(n) && n >= 2 && n <= 20);
          expect(held.epoch * 10 + held.version).toBeGreaterThanOrEqual(last.epoch * 10 + last.version);
          last = held;
        }
      }),
      { numRuns: 500 },
    );
  });
});
