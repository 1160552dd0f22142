import type { Anomaly, Incident } from "../recorder/record-types.ts";
import { type IncidentIds, IncidentKeeper, worthASpan } from "./incident-keeper.ts";
import type { ProbeMeasurement, WatchCommand, WatchReport } from "./messages.ts";
import type { ProbeAnswer } from "./probe-server.ts";
import { type CheckReport, type Health, judge, type ProbePath, type StallThresholds } from "./probe-verdict.ts";
import type { SharedStatus } from "./shared-status.ts";
import { ANOMALY_SLOTS, type WatchRecord } from "./watch-record.ts";

/** How often the watch looks; a death is dated at most this early. */
export const WATCH_EVERY_MS = 100;
/** A look this late means that this thread did not run either: the machine slept, or the process was stopped or starved. */
const OVERSLEPT_MS = 5 * WATCH_EVERY_MS;
const REPORT_PROBES_EVERY_MS = 1_000;
const MOST_MEASUREMENTS = 500;

export interface WatchOptions extends StallThresholds {
  service: string;
  instance: string;
  status: SharedStatus;
  record: WatchRecord;
  incident: Incident | null;
  send: (report: WatchReport) => void;
  /** Milliseconds since the epoch. */
  nowMs: () => number;
  /** The clock of `status.heartbeatMs`. */
  machineMs: () => number;
  ids: IncidentIds;
  /** Ends this process at once. */
  kill: () => void;
}

/** What the watch thread does: it looks at the main thread's heartbeat, answers for it, and keeps the incident. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #incidents: IncidentKeeper;
  /** As in the record, by slot. */
  readonly #anomalies = new Map<number, Anomaly>();
  #nextSlot = 0;
  #checks: readonly CheckReport[] = [];
  #stall: { slot: number; anomaly: Anomaly } | null = null;
  #lookedMs: number;
  /** Heartbeats were not to be expected before this moment. */
  #awakeSinceMs: number;
  #measurements: ProbeMeasurement[] = [];
  #reportedMs: number;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#incidents = new IncidentKeeper(options.ids);
    this.#lookedMs = this.#awakeSinceMs = this.#reportedMs = options.machineMs();
    if (options.incident) this.#inherit(options.incident);
  }

  /** To be called every `WATCH_EVERY_MS`. */
  tick(): void {
    const { status, record, nowMs, machineMs, send, kill } = this.#options;
    const stallMs = this.#look();
    record.beat({ atMs: nowMs(), stallMs, state: status.state });
    if (status.killAtMs > 0 && machineMs() > status.killAtMs) kill();
    if (this.#incidents.observe(this.#healthy(stallMs), machineMs())) this.#incidentChanged();
    if (this.#measurements.length > 0 && machineMs() - this.#reportedMs >= REPORT_PROBES_EVERY_MS) {
      send({ type: "probes", probes: this.#measurements });
      this.#measurements = [];
      this.#reportedMs = machineMs();
    }
  }

  answer(path: ProbePath): ProbeAnswer {
    const { service, instance, nowMs, livenessStallMs, readinessStallMs } = this.#options;
    const health = this.#health(this.#look());
    const verdict = judge(path, health, { livenessStallMs, readinessStallMs });
    const status = verdict.ok ? 200 : 503;
    if (verdict.anomaly) {
      const atMs = nowMs();
      this.#note({ kind: "probe", startMs: atMs, endMs: atMs, path, status, reason: verdict.reason });
    } else if (verdict.ok && this.#healthy(health.stallMs) && this.#incidents.healthyProbe()) {
      this.#incidentChanged();
    }
    return {
      status,
      text: verdict.ok ? "ok" : (verdict.reason ?? "not ok"),
      detail: {
        status: verdict.ok ? "ok" : "failing",
        reason: verdict.reason,
        state: health.state,
        service,
        instance,
        eventLoop: { stallMs: Math.round(health.stallMs), readinessStallMs, livenessStallMs },
        checks: health.checks.map(({ atMs, ...check }) => ({
          ...check,
          at: atMs === undefined ? undefined : new Date(atMs).toISOString(),
        })),
        incident: this.#incidents.current?.traceId,
      },
    };
  }

  measured(measurement: ProbeMeasurement): void {
    if (this.#measurements.length < MOST_MEASUREMENTS) this.#measurements.push(measurement);
  }

  command(command: Exclude<WatchCommand, { type: "stop" }>): void {
    switch (command.type) {
      case "checks":
        this.#checks = command.checks;
        break;
      case "inherit":
        this.#inherit(command.incident);
        break;
      case "shutdown":
        this.#incidents.openUnder(command);
        break;
      case "told":
        this.#told(new Set(command.spanIds));
        break;
    }
  }

  /** Sees to the stall, and says how long the main thread's event loop has stood still. */
  #look(): number {
    const { status, machineMs, nowMs } = this.#options;
    const now = machineMs();
    if (now - this.#lookedMs > OVERSLEPT_MS) this.#awakeSinceMs = now;
    this.#lookedMs = now;
    const stallMs = Math.max(0, now - Math.max(status.heartbeatMs, this.#awakeSinceMs));
    const { readinessStallMs, livenessStallMs } = this.#options;
    // Loading modules blocks for long and hurts nobody: nothing is served yet.
    const thresholdMs = status.state === "starting" ? livenessStallMs : readinessStallMs;
    if (!this.#stall && stallMs > thresholdMs) {
      this.#stall = this.#note({ kind: "stall", startMs: nowMs() - stallMs });
    } else if (this.#stall && stallMs <= readinessStallMs) {
      const { slot, anomaly } = this.#stall;
      this.#stall = null;
      const over = { ...anomaly, endMs: Math.max(anomaly.startMs, nowMs() - stallMs) };
      this.#keep(slot, over);
      this.#options.send({ type: "anomaly", anomaly: over });
      this.#options.send({ type: "stall-over", durationMs: over.endMs - over.startMs });
    }
    return stallMs;
  }

  #health(stallMs: number): Health {
    const { status } = this.#options;
    const { state, started, criticalFailing } = status;
    return { state, started, criticalFailing, stallMs, checks: this.#checks };
  }

  #healthy(stallMs: number): boolean {
    const { status, readinessStallMs } = this.#options;
    const serving = status.state === "ready" || status.state === "degraded";
    return serving && status.criticalFailing === 0 && stallMs <= readinessStallMs;
  }

  #note(anomaly: Parameters<IncidentKeeper["note"]>[0]): { slot: number; anomaly: Anomaly } {
    const opening = this.#incidents.current === null;
    const noted = this.#incidents.note(anomaly);
    if (opening) this.#incidentChanged();
    if (noted.kind === "probe" && !worthASpan(noted.failures!)) return { slot: 0, anomaly: noted };
    // The root of the trace keeps the first slot; the others are a ring.
    const slot = opening ? 0 : 1 + (this.#nextSlot++ % (ANOMALY_SLOTS - 1));
    this.#keep(slot, noted);
    // A stall is told when it is over; the main thread could not listen before.
    if (noted.kind === "probe") this.#options.send({ type: "anomaly", anomaly: noted });
    return { slot, anomaly: noted };
  }

  #keep(slot: number, anomaly: Anomaly): void {
    this.#anomalies.set(slot, anomaly);
    this.#options.record.anomaly(slot, anomaly);
  }

  #told(spanIds: ReadonlySet<string>): void {
    for (const [slot, anomaly] of this.#anomalies) {
      if (spanIds.has(anomaly.spanId) && !anomaly.told) this.#keep(slot, { ...anomaly, told: true });
    }
  }

  #inherit(incident: Incident): void {
    this.#incidents.inherit(incident);
    this.#incidentChanged();
  }

  #incidentChanged(): void {
    this.#options.record.incident(this.#incidents.current);
    this.#options.send({ type: "incident", incident: this.#incidents.current });
  }
}
