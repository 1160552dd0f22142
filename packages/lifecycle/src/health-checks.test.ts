import { TestClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { HealthChecks } from "./health-checks.ts";
import type { CheckReport } from "./watch/probe-verdict.ts";

let clock: TestClock;
let checks: HealthChecks;
let reports: CheckReport[];

beforeEach(() => {
  clock = new TestClock();
  checks = new HealthChecks(clock, (all) => {
    reports = all;
  });
});

describe("health checks", () => {
  it("run at once and then every so often, and report what changed", async () => {
    let up = true;
    let runs = 0;
    checks.add("db", () => {
      runs++;
      return up;
    });
    expect(reports).toMatchObject([{ name: "db", critical: false, status: "pending" }]);
    await clock.advanceAsync(0);
    expect(reports).toMatchObject([{ status: "passing", atMs: clock.now() }]);
    up = false;
    await clock.advanceAsync(5_000);
    expect(reports).toMatchObject([{ status: "failing", reason: "it answered false" }]);
    expect(runs).toBe(2);
  });

  it("fail when they throw, reject, or take longer than they may, and are told to stop then", async () => {
    let stopped = false;
    checks.add("throws", () => {
      throw new Error("no");
    });
    checks.add("rejects", () => Promise.reject(new Error("never")));
    checks.add(
      "hangs",
      ({ signal }) =>
        new Promise(() => {
          signal.addEventListener("abort", () => {
            stopped = true;
          });
        }),
    );
    await clock.advanceAsync(100);
    expect(reports.map(({ name, reason }) => [name, reason])).toEqual([
      ["throws", "no"],
      ["rejects", "never"],
      ["hangs", "no answer within 100 ms"],
    ]);
    expect(stopped).toBe(true);
  });

  it("can be taken away, and leave no timer behind", async () => {
    const remove = checks.add("db", () => true, { critical: true });
    checks.add("cache", () => true);
    await clock.advanceAsync(0);
    remove();
    expect(reports.map((report) => report.name)).toEqual(["cache"]);
    checks.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuse a name that is taken, too many, and options out of range", () => {
    checks.add("0", () => true);
    expect(() => checks.add("0", () => true)).toThrow('a check named "0" was added already');
    expect(() => checks.add("x", () => true, { everyMs: 1 })).toThrow("everyMs must be");
    for (let added = 1; added < 100; added++) checks.add(String(added), () => true);
    expect(() => checks.add("one too many", () => true)).toThrow("more than 100 checks");
    checks.close();
  });
});
