import type { DeathCause } from "../death-story.ts";
import type { DeathRecord } from "./death-record.ts";

/** Beats this long after an exception mean that somebody caught it after all. */
const SURVIVED_MS = 2_000;

/** Why a process ended; the first that fits. */
export function classifyDeath(record: DeathRecord): DeathCause {
  const { end, exception, beat, shutdown } = record;
  if (end && end.kind !== "exit") return "graceful";
  if (exception && (exception.fatal || (beat?.atMs ?? 0) < exception.atMs + SURVIVED_MS)) return "exception";
  if (end) return end.exitCode === 0 ? "graceful" : "exit";
  if (record.heapOom) return "heap-oom";
  if (shutdown) return "grace-exceeded";
  const stalled = record.anomalies.some((anomaly) => anomaly.kind === "stall" && anomaly.endMs === undefined);
  const livenessFailed = record.anomalies.some((anomaly) => anomaly.kind === "probe" && anomaly.path === "/livez");
  return stalled && livenessFailed ? "liveness-kill" : "no-warning";
}

/** The moment of an end, in milliseconds since the epoch: of its cause where that was recorded, else of the last sign of life. */
export function timeOfDeath(record: DeathRecord, cause: DeathCause): number {
  if (cause === "exception") return record.exception!.atMs;
  if (record.end) return record.end.atMs;
  return Math.max(
    record.identity.bornAtMs,
    record.beat?.atMs ?? 0,
    ...record.spans.map((span) => span.startTimeMs),
    ...record.anomalies.map((anomaly) => anomaly.endMs ?? anomaly.startMs),
  );
}
