import { TestClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import type { RecordedShutdown } from "../recorder/record-types.ts";
import { ShutdownSequence } from "./shutdown-sequence.ts";

let clock: TestClock;
let sequence: ShutdownSequence;
let events: string[];

beforeEach(() => {
  clock = new TestClock();
  sequence = new ShutdownSequence({ graceMs: 10_000, lameDuckMs: 1_000, drainMs: 4_000, flushMs: 2_000 }, clock);
  events = [];
});

const at = (what: string) => void events.push(`${clock.monotonic()} ${what}`);

async function run(options: { lameDuck?: boolean } = {}): Promise<RecordedShutdown> {
  const running = sequence.run({
    trigger: "test",
    lameDuck: options.lameDuck ?? true,
    incident: null,
    onBegin: () => {},
    onProgress: () => {},
    onPhaseEnd: () => {},
  });
  let over = false;
  void running.finally(() => {
    over = true;
  });
  while (!over) await clock.advanceAsync(50);
  return running;
}

describe("shutdown sequence", () => {
  it("runs the phases in order, the hooks of one side by side, and waits out the lame duck", async () => {
    sequence.add("release", "close", () => at("release"));
    sequence.add("drain", "a", () => at("drain a"));
    sequence.add("drain", "b", () => at("drain b"));
    sequence.add("announce", "tell", () => at("announce"));
    sequence.add("flush", "flush", () => at("flush"));
    const shutdown = await run();
    expect(events).toEqual(["0 announce", "1000 drain a", "1000 drain b", "1000 flush", "1000 release"]);
    expect(shutdown).toMatchObject({ trigger: "test", outcome: "ok" });
    expect(shutdown.phases.map(({ phase, startMs, endMs }) => [phase, endMs! - startMs])).toEqual([
      ["announce", 1_000],
      ["drain", 0],
      ["flush", 0],
      ["release", 0],
    ]);
  });

  it("needs no lame duck when nobody has to be told", async () => {
    sequence.add("drain", "a", () => at("drain"));
    await run({ lameDuck: false });
    expect(events).toEqual(["0 drain"]);
  });

  it("goes on after a hook that fails, and says which and why", async () => {
    sequence.add("drain", "bad", () => Promise.reject(new Error("no way")));
    sequence.add("release", "good", () => at("release"));
    const { outcome, phases } = await run();
    expect(outcome).toBe("error");
    expect(phases[1]).toMatchObject({ outcome: "error", hooks: [{ name: "bad", outcome: "error", error: "no way" }] });
    expect(events).toEqual(["1000 release"]);
  });

  it("tells a hook when its budget is spent, gives it a moment, and then goes on without it", async () => {
    sequence.add("drain", "obedient", ({ signal, deadlineMs }) => {
      at(`has ${deadlineMs}`);
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          at("told");
          resolve();
        });
      });
    });
    sequence.add("drain", "deaf", () => new Promise(() => {}), { budgetMs: 500 });
    sequence.add("flush", "next", () => at("flush"));
    const { outcome, phases } = await run();
    expect(events).toEqual(["1000 has 4000", "5000 told", "5000 flush"]);
    expect(outcome).toBe("timeout");
    expect(phases[1]!.hooks.map(({ name, outcome, durationMs }) => [name, outcome, durationMs])).toEqual([
      ["obedient", "timeout", 4_000],
      ["deaf", "timeout", 600],
    ]);
  });

  it("ends before the grace does, whatever the hooks do, with time left for the last one", async () => {
    for (const phase of ["announce", "drain", "flush", "release"] as const) {
      sequence.add(phase, "hang", () => new Promise(() => {}));
    }
    await run();
    expect(clock.monotonic()).toBeLessThan(10_000 - 250);
    expect(sequence.remainingMs).toBeGreaterThan(0);
  });

  it("refuses a phase that there is not", () => {
    expect(() => sequence.add("later" as "drain", "x", () => {})).toThrow("announce, drain, flush, release");
  });
});
