import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LifecycleEvent, type LifecycleState, nextState } from "./lifecycle-state.ts";

const events: LifecycleEvent[] = [
  { type: "ready" },
  { type: "checks", failing: true },
  { type: "checks", failing: false },
  { type: "shutdown" },
  { type: "stopped" },
  { type: "crash" },
];

const ways: Record<LifecycleState, readonly LifecycleState[]> = {
  starting: ["ready", "draining", "stopped", "crashed"],
  ready: ["degraded", "draining", "stopped", "crashed"],
  degraded: ["ready", "draining", "stopped", "crashed"],
  draining: ["stopped", "crashed"],
  stopped: [],
  crashed: [],
};

describe("lifecycle state", () => {
  it("only ever goes the ways of the diagram", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events)), (history) => {
        let state: LifecycleState = "starting";
        for (const event of history) {
          const next = nextState(state, event);
          if (next !== state) expect(ways[state]).toContain(next);
          state = next;
        }
      }),
    );
  });

  it("is degraded and back as checks fail and pass, once it was ready", () => {
    expect(nextState("starting", { type: "checks", failing: true })).toBe("starting");
    expect(nextState("ready", { type: "checks", failing: true })).toBe("degraded");
    expect(nextState("degraded", { type: "checks", failing: false })).toBe("ready");
  });
});
