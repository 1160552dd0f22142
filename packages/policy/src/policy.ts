import type { TargetPolicy } from "./target-policy.ts";

export interface LifecyclePolicy {
  /** Port of the probe server; 0 takes any free one. */
  readonly probePort: number;
  /** From the signal to the end of the process, in milliseconds. */
  readonly graceMs: number;
  /** How long a service that was told to stop goes on serving, in milliseconds. */
  readonly lameDuckMs: number;
  /** A stall of the event loop this long fails liveness, in milliseconds. */
  readonly livenessStallMs: number;
  /** A stall of the event loop this long fails readiness, in milliseconds. */
  readonly readinessStallMs: number;
}

export interface TelemetryPolicy {
  /** Time between two exports of metrics, in milliseconds. */
  readonly metricExportIntervalMs: number;
}

/** A policy document, validated and with every default filled in. Frozen. */
export interface Policy {
  readonly namespace: string;
  /** The targets that the document names. */
  readonly targets: ReadonlyMap<string, TargetPolicy>;
  readonly lifecycle: LifecyclePolicy;
  readonly telemetry: TelemetryPolicy;
  /** The target's policy; for a name that the document does not have, the defaults. */
  target(name: string): TargetPolicy;
}
