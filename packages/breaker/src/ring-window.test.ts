import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RingWindow } from "./ring-window.ts";

const BUCKETS = 10;

interface Result {
  atMs: number;
  success: boolean;
}

/** The window's definition, written down: everything whose bucket is among the ten newest. */
function expected(results: readonly Result[], windowMs: number, nowMs: number) {
  const bucketOf = (ms: number): number => Math.floor(ms / (windowMs / BUCKETS));
  const counted = results.filter(({ atMs }) => bucketOf(nowMs) - bucketOf(atMs) < BUCKETS);
  return {
    successes: counted.filter(({ success }) => success).length,
    failures: counted.filter(({ success }) => !success).length,
  };
}

const steps = fc.array(
  fc.record({
    success: fc.boolean(),
    afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 5_000 })),
  }),
  { maxLength: 200 },
);

describe("the ring window", () => {
  it("holds exactly the results of its ten newest buckets", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 100, max: 3_000 }), (history, windowMs) => {
        const window = new RingWindow(windowMs);
        const results: Result[] = [];
        let nowMs = 0;
        for (const { success, afterMs } of history) {
          nowMs += afterMs;
          results.push({ atMs: nowMs, success });
          if (success) window.succeed(nowMs);
          else window.fail(nowMs);
          expect({ successes: window.successes, failures: window.failures }).toEqual(
            expected(results, windowMs, nowMs),
          );
        }
      }),
    );
  });

  it("never holds a result for longer than its length, nor lets go of one within nine tenths of it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 10_000 }), fc.nat(100_000), fc.nat(20_000), (windowMs, atMs, laterMs) => {
        const window = new RingWindow(windowMs);
        window.fail(atMs);
        window.advance(atMs + laterMs);
        if (laterMs >= windowMs) expect(window.failures).toBe(0);
        if (laterMs < 0.9 * windowMs) expect(window.failures).toBe(1);
      }),
    );
  });

  it("is not stretched by a loop that was blocked: what is old is gone at the first look", () => {
    const window = new RingWindow(1_000);
    for (let call = 0; call < 100; call++) window.fail(call);
    window.succeed(60_000);
    expect(window).toMatchObject({ successes: 1, failures: 0, run: 0 });
  });

  it("counts a run over its own length only", () => {
    const window = new RingWindow(1_000);
    window.fail(0);
    window.fail(900);
    expect(window.run).toBe(2);
    window.fail(1_700);
    expect(window.run).toBe(3);
    window.fail(2_900);
    expect(window.run).toBe(1);
    window.succeed(2_900);
    expect(window.run).toBe(0);
  });

  it("does not mind a time that is a little older than the newest result's", () => {
    const window = new RingWindow(1_000);
    window.fail(5_000);
    window.fail(4_200);
    expect(window.failures).toBe(2);
  });

  it("loses nothing when it is made longer, and only what is too old when it is made shorter", () => {
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 100, max: 3_000 }),
        fc.integer({ min: 100, max: 3_000 }),
        (history, fromMs, toMs) => {
          const window = new RingWindow(fromMs);
          let nowMs = 0;
          for (const { success, afterMs } of history) {
            nowMs += afterMs;
            if (success) window.succeed(nowMs);
            else window.fail(nowMs);
          }
          const before = { calls: window.calls, failures: window.failures, run: window.run };
          window.resize(toMs, nowMs);
          if (toMs >= fromMs) expect(window).toMatchObject(before);
          expect(window.calls).toBeLessThanOrEqual(before.calls);
          expect(window.failures).toBeLessThanOrEqual(before.failures);
          window.advance(nowMs + toMs);
          expect(window).toMatchObject({ calls: 0, failures: 0, run: 0 });
        },
      ),
    );
  });
});
