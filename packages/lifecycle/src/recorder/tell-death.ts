import { createHash } from "node:crypto";
import { attr, type StoryLink, type StorySpan } from "@holdfast/core";
import type { DeathCause, DeathException, DeathStory } from "../death-story.ts";
import { anomalySpan, shutdownSpans } from "../incident-spans.ts";
import { lifecycleAttr, spanName } from "../names.ts";
import { classifyDeath, timeOfDeath } from "./classify-death.ts";
import type { DeathRecord } from "./death-record.ts";
import type { Incident, RecordedException, RecordedSpan } from "./record-types.ts";

/** The process that tells. */
export interface Teller {
  incarnation: string;
  /** Milliseconds since the epoch. */
  bornAtMs: number;
  /** When its lifecycle came up, in milliseconds since the epoch. */
  bootedAtMs: number;
}

/** More links than this help nobody to read a span. */
const MOST_LINKS = 64;

/**
 * The story of a death. Pure: whoever tells a record tells the same ids, so that a telling that is repeated because the
 * first one's end is unknown adds nothing new.
 *
 * @param teller its boot becomes a span of the incident; null when another death is the latest
 */
export function tellDeath(record: DeathRecord, teller: Teller | null): DeathStory {
  const cause = classifyDeath(record);
  const diedAtMs = timeOfDeath(record, cause);
  const { incarnation, instance, bornAtMs, resource } = record.identity;
  const story = { cause, incarnation, instance, bornAtMs, diedAtMs };
  if (cause === "graceful") {
    const forced = record.end?.kind === "forced" ? "forced" : undefined;
    const untold = record.end?.told === false &&
      record.shutdown && { ...record.shutdown, outcome: record.shutdown.outcome ?? forced };
    const spans = untold
      ? shutdownSpans(untold, { incident: record.incident !== undefined, openUntilMs: diedAtMs, resource })
      : [];
    return { ...story, openSpans: 0, spans: [...untoldAnomalies(record, diedAtMs), ...spans] };
  }

  const incident = incidentOf(record, cause)!;
  const crashSpanId = spanIdOf(record, "crash");
  const anomalies = record.anomalies.filter((anomaly) => anomaly.traceId === incident.traceId);
  const inFlight = requestsOf(record);
  const thrownIn = cause === "exception" ? record.exception!.span : undefined;
  const crashLink: StoryLink = {
    traceId: incident.traceId,
    spanId: crashSpanId,
    attributes: { [lifecycleAttr.link]: "crash" },
  };
  const crash: StorySpan = {
    traceId: incident.traceId,
    spanId: crashSpanId,
    parentSpanId: incident.rootSpanId === crashSpanId ? undefined : incident.rootSpanId,
    name: spanName.crash,
    startTimeMs: diedAtMs,
    endTimeMs: diedAtMs,
    status: "error",
    statusMessage: record.exception && cause === "exception" ? record.exception.message : CAUSES[cause],
    attributes: {
      [attr.incident]: true,
      [lifecycleAttr.deathCause]: cause,
      [lifecycleAttr.incarnation]: incarnation,
      [lifecycleAttr.uptime]: Math.max(0, Math.round(diedAtMs - bornAtMs)),
      [lifecycleAttr.openSpans]: record.spans.length,
      "process.pid": record.identity.pid,
      "process.exit.code": record.end?.exitCode ?? (cause === "exception" ? 1 : undefined),
      ...(cause === "exception" && {
        "exception.type": record.exception!.type,
        "exception.message": record.exception!.message,
        "exception.stacktrace": record.exception!.stacktrace,
        "lifecycle.exception.origin": record.exception!.origin,
      }),
    },
    links: [
      ...(thrownIn ? [link(thrownIn, "cause")] : []),
      ...inFlight.filter((span) => span.spanId !== thrownIn?.spanId).map((span) => link(span, "in-flight")),
      ...anomalies.map((anomaly) => link(anomaly, anomaly.kind)),
    ].slice(0, MOST_LINKS),
    resource,
  };
  const resurrected = record.spans.map((span): StorySpan => {
    const { attributes, startTimeMs, ...ids } = span;
    return {
      ...ids,
      startTimeMs,
      endTimeMs: Math.max(startTimeMs, diedAtMs),
      attributes: { ...attributes, [lifecycleAttr.resurrected]: true },
      status: "error",
      statusMessage: `the process ended (${cause}) while this span was open`,
      links: [crashLink],
      resource,
    };
  });
  const shutdown = record.shutdown
    ? shutdownSpans(record.shutdown, {
        incident: record.shutdown.traceId === incident.traceId,
        openUntilMs: diedAtMs,
        resource,
        links: record.shutdown.traceId === incident.traceId ? undefined : [crashLink],
      })
    : [];
  return {
    ...story,
    exception: cause === "exception" ? exceptionOf(record.exception!) : undefined,
    incidentTraceId: incident.traceId,
    openSpans: resurrected.length,
    spans: [
      ...untoldAnomalies(record, diedAtMs),
      ...shutdown,
      crash,
      ...resurrected,
      ...(teller ? [bootSpan(record, incident, crashLink, teller, cause)] : []),
    ],
  };
}

/** The incident that a death belongs to, and that its successor lives in; minted here when it was the first anomaly. */
export function incidentOf(record: DeathRecord, cause: DeathCause): Incident | undefined {
  if (record.incident || cause === "graceful") return record.incident;
  const openedAtMs = timeOfDeath(record, cause);
  if (record.shutdown) {
    const { traceId, spanId } = record.shutdown;
    return { traceId, rootSpanId: spanId, openedAtMs, openedBy: "shutdown" };
  }
  return {
    traceId: digest(record, "incident").slice(0, 32),
    rootSpanId: spanIdOf(record, "crash"),
    openedAtMs,
    openedBy: "death",
  };
}

function bootSpan(
  record: DeathRecord,
  incident: Incident,
  crash: StoryLink,
  teller: Teller,
  cause: DeathCause,
): StorySpan {
  return {
    traceId: incident.traceId,
    spanId: spanIdOf(record, `boot ${teller.incarnation}`),
    parentSpanId: incident.rootSpanId,
    name: spanName.boot,
    startTimeMs: teller.bornAtMs,
    endTimeMs: Math.max(teller.bornAtMs, teller.bootedAtMs),
    attributes: {
      [attr.incident]: true,
      [lifecycleAttr.incarnation]: teller.incarnation,
      [lifecycleAttr.previousIncarnation]: record.identity.incarnation,
      [lifecycleAttr.deathCause]: cause,
    },
    links: [crash],
  };
}

function exceptionOf({ type, message, stacktrace, origin }: RecordedException): DeathException {
  return { type, message, stacktrace, origin };
}

function untoldAnomalies(record: DeathRecord, diedAtMs: number): StorySpan[] {
  return record.anomalies
    .filter((anomaly) => !anomaly.told)
    .map((anomaly) => anomalySpan(anomaly, diedAtMs, record.identity.resource));
}

/** The open spans by which work came in; where none did, those that have no parent here. */
function requestsOf(record: DeathRecord): RecordedSpan[] {
  const incoming = record.spans.filter((span) => span.kind === "server" || span.kind === "consumer");
  if (incoming.length > 0) return incoming;
  const here = new Set(record.spans.map((span) => span.spanId));
  return record.spans.filter((span) => span.parentSpanId === undefined || !here.has(span.parentSpanId));
}

function link(span: { traceId: string; spanId: string }, what: string): StoryLink {
  return { traceId: span.traceId, spanId: span.spanId, attributes: { [lifecycleAttr.link]: what } };
}

function spanIdOf(record: DeathRecord, part: string): string {
  return digest(record, part).slice(0, 16);
}

function digest(record: DeathRecord, part: string): string {
  return createHash("sha256").update(`${record.identity.incarnation} ${part}`).digest("hex");
}

const CAUSES: Readonly<Record<DeathCause, string>> = {
  graceful: "the process ended in an orderly way",
  exception: "an exception was not caught",
  "heap-oom": "the JavaScript heap was exhausted",
  exit: "the process ended itself with an exit code other than 0",
  "grace-exceeded": "the shutdown had begun and did not end",
  "liveness-kill": "the event loop stood still, liveness probes failed, then the process ended without warning",
  "no-warning": "the process ended without warning",
};
