import { describe, expect, it } from "vitest";
import type { LifecycleState } from "../lifecycle-state.ts";
import { type Health, judge, type ProbePath } from "./probe-verdict.ts";

const thresholds = { livenessStallMs: 10_000, readinessStallMs: 1_000 };
const healthy: Health = { state: "ready", started: true, stallMs: 20, criticalFailing: 0, checks: [] };
const verdict = (path: ProbePath, health: Partial<Health>) => judge(path, { ...healthy, ...health }, thresholds);

describe("probe verdict", () => {
  it.each<[LifecycleState, boolean, boolean, boolean]>([
    // state, live, ready, started
    ["starting", true, false, false],
    ["ready", true, true, true],
    ["degraded", true, true, true],
    ["draining", true, false, true],
    ["stopped", false, false, true],
    ["crashed", false, false, false],
  ])("answers for an instance that is %s", (state, live, ready, started) => {
    const health = { state, started: state !== "starting" };
    expect(verdict("/livez", health).ok).toBe(live);
    expect(verdict("/readyz", health).ok).toBe(ready);
    expect(verdict("/healthz", health).ok).toBe(ready);
    expect(verdict("/startupz", health).ok).toBe(started);
  });

  it("takes readiness away long before liveness when the event loop stands still", () => {
    expect(verdict("/readyz", { stallMs: 1_500 }).reason).toContain("has stood still for 1500 ms, longer than 1s");
    expect(verdict("/livez", { stallMs: 1_500 }).ok).toBe(true);
    expect(verdict("/livez", { stallMs: 10_001 }).ok).toBe(false);
  });

  it("takes readiness away for a critical check only, and names it", () => {
    const checks = [
      { name: "db", critical: true, status: "failing" as const, reason: "refused" },
      { name: "cache", critical: false, status: "failing" as const, reason: "slow" },
    ];
    expect(verdict("/readyz", { checks, criticalFailing: 1 }).reason).toBe("a critical check fails: db: refused");
    expect(verdict("/readyz", { checks: checks.slice(1) }).ok).toBe(true);
  });

  it("calls stalls and failed checks anomalies, and coming and going none", () => {
    expect(verdict("/readyz", { state: "starting" }).anomaly).toBe(false);
    expect(verdict("/readyz", { state: "draining" }).anomaly).toBe(false);
    expect(verdict("/readyz", { stallMs: 2_000 }).anomaly).toBe(true);
  });
});
