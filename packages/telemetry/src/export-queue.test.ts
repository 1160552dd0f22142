import { seededRandom, TestClock } from "@holdfast/testkit";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExportQueue, type ExportQueueOptions } from "./export-queue.ts";

const unavailable = Object.assign(new Error("no connection"), { code: 14 });
const invalid = Object.assign(new Error("bad request"), { code: 3 });

class ManualExporter {
  readonly requests: { items: number[]; answer(error?: Error): void }[] = [];

  export(items: number[], done: (result: ExportResult) => void): void {
    const answer = (error?: Error): void =>
      done(error ? { code: ExportResultCode.FAILED, error } : { code: ExportResultCode.SUCCESS });
    this.requests.push({ items, answer });
  }
}

function setUp(options: Partial<ExportQueueOptions<number>> = {}) {
  const clock = new TestClock();
  const exporter = new ManualExporter();
  const queue = new ExportQueue<number>({ exporter, clock, random: seededRandom(1), ...options });
  const add = (count: number): void => {
    for (let n = 0; n < count; n++) queue.add(n);
  };
  return { clock, exporter, queue, add };
}

describe("an export queue", () => {
  it("sends what came within the delay in one request, and counts it once the receiver confirmed", async () => {
    const { clock, exporter, queue, add } = setUp({ delayMs: 1_000 });
    add(3);
    await clock.advanceAsync(999);
    expect(exporter.requests).toHaveLength(0);
    await clock.advanceAsync(1);
    expect(exporter.requests.map(({ items }) => items.length)).toEqual([3]);
    expect(queue.counts()).toEqual({ added: 3, exported: 0, failed: 0, dropped: 0 });
    exporter.requests[0]!.answer();
    await clock.advanceAsync(0);
    expect(queue.counts()).toEqual({ added: 3, exported: 3, failed: 0, dropped: 0 });
  });

  it("sends a full batch at once, and no more requests at a time than it may", async () => {
    const { clock, exporter, add } = setUp({ maxBatch: 10, concurrency: 2 });
    add(50);
    expect(exporter.requests).toHaveLength(2);
    exporter.requests[0]!.answer();
    await clock.advanceAsync(0);
    expect(exporter.requests).toHaveLength(3);
  });

  it("drops and counts what is beyond its bound, requests under way included", async () => {
    const { clock, exporter, queue, add } = setUp({ maxItems: 20, maxBatch: 10, concurrency: 1 });
    add(25);
    expect(queue.counts()).toEqual({ added: 25, exported: 0, failed: 0, dropped: 5 });
    exporter.requests[0]!.answer();
    await clock.advanceAsync(0);
    add(10);
    expect(queue.counts().dropped).toBe(5);
  });

  it("sends a batch again after a failure that may pass, and gives it up after its time", async () => {
    const { clock, exporter, queue, add } = setUp({ maxBatch: 5, retryForMs: 60_000 });
    add(5);
    for (let answered = 0; clock.monotonic() < 61_000; ) {
      for (; answered < exporter.requests.length; answered++) exporter.requests[answered]!.answer(unavailable);
      await clock.advanceAsync(1_000);
    }
    expect(exporter.requests.length).toBeGreaterThan(10);
    expect(queue.counts()).toEqual({ added: 5, exported: 0, failed: 5, dropped: 0 });
  });

  it("delivers a batch whose receiver came back", async () => {
    const { clock, exporter, queue, add } = setUp({ maxBatch: 5 });
    add(5);
    exporter.requests[0]!.answer(unavailable);
    await clock.advanceAsync(250);
    exporter.requests[1]!.answer();
    await clock.advanceAsync(0);
    expect(queue.counts()).toEqual({ added: 5, exported: 5, failed: 0, dropped: 0 });
  });

  it("does not repeat what the receiver refused for good", async () => {
    const lost: number[] = [];
    const { clock, exporter, queue, add } = setUp({ maxBatch: 5, onLoss: (count) => lost.push(count) });
    add(5);
    exporter.requests[0]!.answer(invalid);
    await clock.advanceAsync(60_000);
    expect(exporter.requests).toHaveLength(1);
    expect(queue.counts().failed).toBe(5);
    expect(lost).toEqual([5]);
  });

  it("repeats RESOURCE_EXHAUSTED only when the receiver says when to", async () => {
    const exhausted = Object.assign(new Error("too much"), { code: 8 });
    const paced = Object.assign(new Error("later"), { code: 8, metadata: { get: () => [new Uint8Array(1)] } });
    const { clock, exporter, add } = setUp({ maxBatch: 1 });
    add(1);
    exporter.requests[0]!.answer(exhausted);
    await clock.advanceAsync(5_000);
    expect(exporter.requests).toHaveLength(1);
    add(1);
    exporter.requests[1]!.answer(paced);
    await clock.advanceAsync(5_000);
    expect(exporter.requests).toHaveLength(3);
  });

  it("closes as soon as everything is confirmed, also what came while it closed", async () => {
    const { clock, exporter, queue, add } = setUp();
    add(3);
    const closed = queue.close(5_000);
    add(2);
    exporter.requests[0]!.answer();
    await clock.advanceAsync(0);
    exporter.requests[1]!.answer();
    await closed;
    expect(queue.counts()).toEqual({ added: 5, exported: 5, failed: 0, dropped: 0 });
    expect(clock.pendingTimers).toBe(0);
  });

  it("calls failed what was not confirmed by the deadline, and dropped what came later; a late answer changes nothing", async () => {
    const { clock, exporter, queue, add } = setUp();
    add(4);
    const closed = queue.close(2_000);
    await clock.advanceAsync(2_000);
    await closed;
    add(2);
    exporter.requests[0]!.answer();
    await clock.advanceAsync(10_000);
    expect(queue.counts()).toEqual({ added: 6, exported: 0, failed: 4, dropped: 2 });
    expect(clock.pendingTimers).toBe(0);
  });

  it("does not spend the whole deadline on a receiver that is gone", async () => {
    const { clock, exporter, queue, add } = setUp();
    add(1);
    const closed = queue.close(30_000);
    for (let answered = 0; answered < 3; answered++) {
      exporter.requests[answered]!.answer(unavailable);
      await clock.advanceAsync(300);
    }
    await closed;
    expect(exporter.requests).toHaveLength(3);
    expect(queue.counts().failed).toBe(1);
  });

  it("survives an exporter that throws", async () => {
    const { clock, queue, add } = setUp({
      maxBatch: 1,
      exporter: {
        export() {
          throw new Error("broken");
        },
      },
    });
    add(1);
    await clock.advanceAsync(0);
    expect(queue.counts().failed).toBe(1);
  });

  it("never loses count, whatever comes in whatever order", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), count: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ kind: fc.constant("time" as const), ms: fc.integer({ min: 0, max: 3_000 }) }),
      fc.record({ kind: fc.constant("confirm" as const) }),
      fc.record({ kind: fc.constant("fail" as const), forGood: fc.boolean() }),
      fc.record({ kind: fc.constant("flush" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, answersAtTheEnd) => {
        const { clock, exporter, queue, add } = setUp({ maxItems: 40, maxBatch: 7, concurrency: 2 });
        let answered = 0;
        let added = 0;
        for (const step of steps) {
          if (step.kind === "add") {
            add(step.count);
            added += step.count;
          } else if (step.kind === "time") await clock.advanceAsync(step.ms);
          else if (step.kind === "flush") void queue.flush();
          else if (answered < exporter.requests.length)
            exporter.requests[answered++]!.answer(
              step.kind === "confirm" ? undefined : step.forGood ? invalid : unavailable,
            );
          const { exported, failed, dropped } = queue.counts();
          expect(exported + failed + dropped).toBeLessThanOrEqual(added);
        }
        const closed = queue.close(1_000);
        if (answersAtTheEnd)
          for (; answered < exporter.requests.length; answered++) exporter.requests[answered]!.answer();
        await clock.advanceAsync(1_000);
        await closed;
        const { exported, failed, dropped } = queue.counts();
        expect(exported + failed + dropped).toBe(added);
        expect(clock.pendingTimers).toBeLessThanOrEqual(exporter.requests.length - answered);
      }),
      { numRuns: 200 },
    );
  });
});
