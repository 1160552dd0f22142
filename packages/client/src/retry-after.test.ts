import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clampRetryAfter, parseRetryAfter } from "./retry-after.ts";

const NOW = Date.UTC(2026, 0, 1);

describe("reading Retry-After", () => {
  it.each([
    ["0", 0],
    ["120", 120_000],
    ["  5 ", 5_000],
    ["0.25", 250],
    ["1.5", 1_500],
    ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
    ["Thursday, 01-Jan-26 00:00:30 GMT", 30_000],
    ["Thu Jan  1 00:00:30 2026", 30_000],
    ["Wed, 31 Dec 2025 23:59:59 GMT", 0],
  ])("reads %j", (value, waitMs) => {
    expect(parseRetryAfter(value, NOW)).toBe(waitMs);
  });

  it.each([
    "",
    "soon",
    "-5",
    "+5",
    "1e3",
    "0x10",
    "5s",
    "1,5",
    "Infinity",
    "99999999999",
    "2026-01-01",
    "Thu, 99 Foo 2026 00:00:00 GMT",
  ])("makes nothing of %j", (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });

  it("returns a wait of 0 or more, or nothing, for whatever is sent", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
        ),
        (value) => {
          const waitMs = parseRetryAfter(value, NOW);
          if (waitMs !== undefined) expect(waitMs).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});

describe("clamping Retry-After", () => {
  it("never waits less than the backoff nor more than five seconds beyond it", () => {
    expect(clampRetryAfter(0, 300)).toBe(300);
    expect(clampRetryAfter(2_000, 300)).toBe(2_000);
    expect(clampRetryAfter(120_000, 300)).toBe(5_300);
  });
});
