import { TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { deadlineFromHeaders, detach, remainingDeadlineMs, withDeadline } from "./index.ts";

describe("a deadline that travels", () => {
  it("is there for what runs in it, also later, and runs down", async () => {
    const clock = new TestClock();
    expect(remainingDeadlineMs()).toBeUndefined();
    await withDeadline(
      1_000,
      async () => {
        expect(remainingDeadlineMs()).toBe(1_000);
        await Promise.resolve();
        clock.advance(300);
        expect(remainingDeadlineMs()).toBe(700);
        clock.advance(900);
        expect(remainingDeadlineMs()).toBe(0);
      },
      { clock },
    );
    expect(remainingDeadlineMs()).toBeUndefined();
  });

  it("only ever shrinks", () => {
    const clock = new TestClock();
    withDeadline(
      1_000,
      () => {
        withDeadline(5_000, () => expect(remainingDeadlineMs()).toBe(1_000), { clock });
        withDeadline(200, () => expect(remainingDeadlineMs()).toBe(200), { clock });
        expect(remainingDeadlineMs()).toBe(1_000);
      },
      { clock },
    );
  });

  it("is left behind by detached work", () => {
    withDeadline(1_000, () => {
      detach(() => expect(remainingDeadlineMs()).toBeUndefined());
    });
  });

  it("is refused when it is no number of milliseconds", () => {
    expect(() => withDeadline(-1, () => {})).toThrow(
      new RangeError("deadlineMs must be a number of 0 or more, not -1"),
    );
    expect(() => withDeadline(Number.NaN, () => {})).toThrow(TypeError);
  });
});

describe("a deadline in headers", () => {
  it.each([
    ["ours", { "x-holdfast-deadline-ms": "250" }, 250],
    ["Envoy's", { "x-envoy-expected-rq-timeout-ms": "400" }, 400],
    ["ours before Envoy's", { "x-envoy-expected-rq-timeout-ms": "400", "x-holdfast-deadline-ms": "900" }, 900],
    [
      "Envoy's when ours cannot be read",
      { "x-holdfast-deadline-ms": "soon", "x-envoy-expected-rq-timeout-ms": "4" },
      4,
    ],
    ["the first of several", { "x-holdfast-deadline-ms": ["30", "40"] }, 30],
    ["0: it has passed", { "x-holdfast-deadline-ms": "0" }, 0],
  ])("is read: %s", (_, headers, deadlineMs) => {
    expect(deadlineFromHeaders(headers)).toBe(deadlineMs);
    expect(deadlineFromHeaders(new Headers(Object.entries(headers).map(([k, v]) => [k, [v].flat()[0]!])))).toBe(
      deadlineMs,
    );
  });

  it.each(["", "-1", "1e9", "0x10", "5s", "NaN", "1.5", "9".repeat(16)])("says nothing with %j", (value) => {
    expect(deadlineFromHeaders({ "x-holdfast-deadline-ms": value })).toBeUndefined();
  });

  it("is clamped to what the server allows", () => {
    expect(deadlineFromHeaders({ "x-holdfast-deadline-ms": "999999999" })).toBe(3_600_000);
    expect(deadlineFromHeaders({ "x-holdfast-deadline-ms": "5000" }, { maxMs: 2_000 })).toBe(2_000);
  });
});
