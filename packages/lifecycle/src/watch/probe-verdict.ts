import { formatDuration } from "@holdfast/core";
import type { LifecycleState } from "../lifecycle-state.ts";

export type ProbePath = "/livez" | "/readyz" | "/startupz" | "/healthz";

export const probePaths: readonly ProbePath[] = ["/livez", "/readyz", "/startupz", "/healthz"];

export interface CheckReport {
  name: string;
  critical: boolean;
  /** Pending: it has not answered once. */
  status: "pending" | "passing" | "failing";
  /** Why it fails. */
  reason?: string | undefined;
  /** Milliseconds since the epoch of its last answer. */
  atMs?: number | undefined;
}

export interface Health {
  state: LifecycleState;
  /** Whether the instance was ever ready. */
  started: boolean;
  /** How long the event loop of the main thread has stood still, in milliseconds. */
  stallMs: number;
  criticalFailing: number;
  checks: readonly CheckReport[];
}

export interface StallThresholds {
  livenessStallMs: number;
  readinessStallMs: number;
}

export interface Verdict {
  ok: boolean;
  /** Why not, in words for people. */
  reason?: string | undefined;
  /** Whether a failure is an anomaly, and not just how instances come and go. */
  anomaly: boolean;
}

const PASS: Verdict = { ok: true, anomaly: false };

/**
 * The honest answer to a probe. Liveness fails only when nothing but a restart helps: the event loop stands still for long.
 * Readiness fails at once when requests would not be served. A degraded instance is ready.
 */
export function judge(path: ProbePath, health: Health, thresholds: StallThresholds): Verdict {
  switch (path) {
    case "/livez":
      return (
        crashed(health) ??
        stalled(health, thresholds.livenessStallMs) ??
        (health.state === "stopped" ? { ok: false, reason: "stopped", anomaly: false } : PASS)
      );
    case "/startupz":
      return crashed(health) ?? (health.started ? PASS : { ok: false, reason: "starting", anomaly: false });
    case "/readyz":
    case "/healthz": {
      const { state } = health;
      if (state === "starting" || state === "draining" || state === "stopped") {
        return { ok: false, reason: state, anomaly: false };
      }
      return crashed(health) ?? stalled(health, thresholds.readinessStallMs) ?? criticalCheck(health) ?? PASS;
    }
  }
}

function crashed(health: Health): Verdict | undefined {
  return health.state === "crashed" ? { ok: false, reason: "crashed", anomaly: false } : undefined;
}

function stalled(health: Health, thresholdMs: number): Verdict | undefined {
  if (health.stallMs <= thresholdMs) return undefined;
  const limit = formatDuration(thresholdMs);
  return {
    ok: false,
    reason: `the event loop has stood still for ${Math.round(health.stallMs)} ms, longer than ${limit}`,
    anomaly: true,
  };
}

function criticalCheck(health: Health): Verdict | undefined {
  if (health.criticalFailing === 0) return undefined;
  const failing = health.checks.filter((check) => check.critical && check.status !== "passing");
  // The count is shared memory and may be ahead of the list, which comes as a message.
  const names = failing.map((check) => `${check.name}: ${check.reason ?? check.status}`).join("; ");
  return {
    ok: false,
    reason: `a critical check fails: ${names || "not known yet which"}`,
    // A check that has not answered once belongs to the start.
    anomaly: failing.some((check) => check.status === "failing"),
  };
}
