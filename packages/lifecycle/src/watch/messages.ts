import type { Anomaly, Incident } from "../recorder/record-types.ts";
import type { CheckReport, ProbePath, StallThresholds } from "./probe-verdict.ts";

/** What the watch thread starts with. */
export interface WatchData extends StallThresholds {
  status: SharedArrayBuffer;
  service: string;
  instance: string;
  /** null: no probes. */
  probe: { port: number; host: string } | null;
  /** The record whose part is this thread's; null: none. */
  recordPath: string | null;
  incident: Incident | null;
}

/** From the main thread to the watch thread. */
export type WatchCommand =
  | { type: "checks"; checks: CheckReport[] }
  | { type: "told"; spanIds: string[] }
  | { type: "inherit"; incident: Incident }
  | { type: "shutdown"; traceId: string; spanId: string }
  | { type: "stop" };

export interface ProbeMeasurement {
  path: ProbePath;
  ok: boolean;
  durationMs: number;
}

/** From the watch thread to the main thread, which may read it only when its loop turns again. */
export type WatchReport =
  | { type: "up"; port: number | null }
  | { type: "listen-failed"; code: string; message: string }
  | { type: "anomaly"; anomaly: Anomaly }
  | { type: "stall-over"; durationMs: number }
  | { type: "incident"; incident: Incident | null }
  | { type: "probes"; probes: ProbeMeasurement[] }
  | { type: "stopped" };
