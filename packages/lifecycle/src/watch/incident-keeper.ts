import type { SpanReference } from "@holdfast/core";
import type { Anomaly, Incident } from "../recorder/record-types.ts";

/** Healthy probes in a row that close an incident. */
const HEALTHY_PROBES = 10;
/** Health that closes an incident when nobody probes, in milliseconds. */
const HEALTHY_MS = 300_000;

export interface IncidentIds {
  traceId(): string;
  spanId(): string;
}

/**
 * Which incident is open. The first anomaly mints it and its span is the root of the incident's trace; what comes later,
 * also in the processes that follow, hangs below.
 */
export class IncidentKeeper {
  readonly #ids: IncidentIds;
  #current: Incident | null = null;
  #shutdown: SpanReference | null = null;
  #failures = 0;
  #healthyProbes = 0;
  #healthySinceMs: number | null = null;

  constructor(ids: IncidentIds) {
    this.#ids = ids;
  }

  get current(): Incident | null {
    return this.#current;
  }

  /** Takes an incident over: from the process before, or from a shutdown that overran. One that is open already stays. */
  inherit(incident: Incident): void {
    this.#current ??= incident;
    this.#restartHealth();
  }

  /** Names an anomaly as a span of the incident, which it opens if none is. */
  note(anomaly: Omit<Anomaly, "traceId" | "spanId" | "parentSpanId" | "failures">): Anomaly {
    const spanId = this.#ids.spanId();
    this.#restartHealth();
    const opening = this.#current === null;
    if (opening) this.#failures = 0;
    this.#current ??= {
      traceId: this.#shutdown?.traceId ?? this.#ids.traceId(),
      rootSpanId: this.#shutdown?.spanId ?? spanId,
      openedAtMs: anomaly.startMs,
      openedBy: anomaly.kind,
    };
    const { traceId, rootSpanId } = this.#current;
    if (anomaly.kind === "probe") this.#failures++;
    return {
      ...anomaly,
      traceId,
      spanId,
      parentSpanId: spanId === rootSpanId ? undefined : rootSpanId,
      failures: anomaly.kind === "probe" ? this.#failures : undefined,
    };
  }

  /** A shutdown has begun: what goes wrong from now on is part of its trace, which an incident then is. */
  openUnder(shutdown: SpanReference): void {
    this.#shutdown = shutdown;
  }

  /** A probe was answered well while nothing was wrong. @returns whether that closed the incident */
  healthyProbe(): boolean {
    return this.#current !== null && ++this.#healthyProbes >= HEALTHY_PROBES && this.#close();
  }

  /** Whether the instance serves and its loop turns, said now and then. @returns whether that closed the incident */
  observe(healthy: boolean, nowMs: number): boolean {
    if (!this.#current || !healthy) {
      this.#healthySinceMs = null;
      return false;
    }
    this.#healthySinceMs ??= nowMs;
    return nowMs - this.#healthySinceMs >= HEALTHY_MS && this.#close();
  }

  #restartHealth(): void {
    this.#healthyProbes = 0;
    this.#healthySinceMs = null;
  }

  #close(): true {
    this.#current = null;
    this.#failures = 0;
    this.#restartHealth();
    return true;
  }
}

/** Whether the n-th failed probe of an incident becomes a span: the first 16, then ever fewer, as a dependency may be gone for hours. */
export function worthASpan(failures: number): boolean {
  return failures <= 16 || (failures & (failures - 1)) === 0;
}
