import { type StorySink, type StorySpan, silentLogger } from "@holdfast/core";
import { TestClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Storyteller } from "./storyteller.ts";

let clock: TestClock;
let batches: string[][];
let told: string[];
let answer: () => Promise<void>;
let teller: Storyteller;

const span = (spanId: string): StorySpan => ({ traceId: "t", spanId, name: "x", startTimeMs: 0, endTimeMs: 0 });
const sink: StorySink = {
  exportSpans(spans) {
    batches.push(spans.map((each) => each.spanId));
    return answer();
  },
};

beforeEach(() => {
  clock = new TestClock();
  batches = [];
  told = [];
  answer = () => Promise.resolve();
  teller = new Storyteller(sink, clock, silentLogger, (ids) => told.push(...ids));
});

describe("storyteller", () => {
  it("gathers what comes together and says what was told", async () => {
    teller.tell(span("1"));
    teller.tell(span("2"), span("3"));
    await clock.advanceAsync(100);
    expect(batches).toEqual([["1", "2", "3"]]);
    expect(told).toEqual(["1", "2", "3"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("tells again, ever more rarely, what the sink refused, and loses nothing on the way", async () => {
    answer = () => Promise.reject(new Error("refused"));
    teller.tell(span("1"));
    await clock.advanceAsync(100 + 1_000 + 2_000);
    expect(batches).toEqual([["1"], ["1"], ["1"]]);
    expect(told).toEqual([]);
    answer = () => Promise.resolve();
    teller.tell(span("2"));
    await clock.advanceAsync(4_000);
    expect(told).toEqual(["1", "2"]);
  });

  it("keeps the latest 256 spans when nobody takes any", async () => {
    answer = () => Promise.reject(new Error("refused"));
    for (let id = 0; id < 300; id++) teller.tell(span(String(id)));
    expect(await teller.flush(1_000)).toBe(false);
    expect(batches[0]).toHaveLength(256);
    expect(batches[0]![0]).toBe("44");
  });

  it("flushes behind an export that is under way, and gives up when its time is over", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    answer = () => promise;
    teller.tell(span("1"));
    await clock.advanceAsync(100);
    teller.tell(span("2"));
    const flushed = teller.flush(500);
    resolve();
    expect(await flushed).toBe(true);
    expect(batches).toEqual([["1"], ["2"]]);

    answer = () => new Promise(() => {});
    teller.tell(span("3"));
    const late = teller.flush(500);
    await clock.advanceAsync(500);
    expect(await late).toBe(false);
    teller.close();
    expect(clock.pendingTimers).toBe(0);
  });
});
