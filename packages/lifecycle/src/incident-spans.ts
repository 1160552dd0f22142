import { attr, type StoryLink, type StorySpan } from "@holdfast/core";
import { lifecycleAttr, spanName } from "./names.ts";
import type { Anomaly, RecordedShutdown } from "./recorder/record-types.ts";

/** @param openUntilMs end of a stall that was not over, in milliseconds since the epoch */
export function anomalySpan(anomaly: Anomaly, openUntilMs: number, resource?: StorySpan["resource"]): StorySpan {
  const { kind, traceId, spanId, parentSpanId, startMs } = anomaly;
  const endMs = Math.max(startMs, anomaly.endMs ?? openUntilMs);
  return {
    traceId,
    spanId,
    parentSpanId,
    name: spanName[kind],
    kind: kind === "probe" ? "server" : "internal",
    startTimeMs: startMs,
    endTimeMs: endMs,
    status: "error",
    statusMessage: kind === "probe" ? anomaly.reason : "the event loop stood still",
    attributes:
      kind === "probe"
        ? {
            [attr.incident]: true,
            [lifecycleAttr.probePath]: anomaly.path,
            [lifecycleAttr.probeStatus]: anomaly.status,
            [lifecycleAttr.probeReason]: anomaly.reason,
            [lifecycleAttr.probeFailures]: anomaly.failures,
          }
        : { [attr.incident]: true, [lifecycleAttr.stallDuration]: Math.round(endMs - startMs) },
    resource,
  };
}

export interface ShutdownSpanOptions {
  /** Whether the trace is an incident's: a plain rollout is none. */
  incident: boolean;
  /** End of what was not over, in milliseconds since the epoch. */
  openUntilMs: number;
  resource?: StorySpan["resource"];
  links?: readonly StoryLink[] | undefined;
}

/** The shutdown's span and one for each phase that began. */
export function shutdownSpans(shutdown: RecordedShutdown, options: ShutdownSpanOptions): StorySpan[] {
  const { incident, openUntilMs, resource, links } = options;
  const common = { [attr.incident]: incident || undefined, [lifecycleAttr.shutdownTrigger]: shutdown.trigger };
  const span = (
    part: { spanId: string; startMs: number; endMs?: number | undefined; outcome?: string | undefined },
    rest: Pick<StorySpan, "name" | "parentSpanId" | "events" | "links">,
  ): StorySpan => {
    const outcome = part.outcome ?? "killed";
    return {
      traceId: shutdown.traceId,
      spanId: part.spanId,
      startTimeMs: part.startMs,
      endTimeMs: Math.max(part.startMs, part.endMs ?? openUntilMs),
      attributes: { ...common, [lifecycleAttr.outcome]: outcome },
      status: outcome === "ok" ? "ok" : "error",
      statusMessage: outcome === "ok" ? undefined : STATUS_MESSAGES[outcome],
      resource,
      ...rest,
    };
  };
  return [
    span(shutdown, { name: spanName.shutdown, parentSpanId: shutdown.parentSpanId, links }),
    ...shutdown.phases.map((phase) =>
      span(phase, {
        name: `lifecycle.${phase.phase}`,
        parentSpanId: shutdown.spanId,
        events: phase.hooks.map((hook) => ({
          name: "lifecycle.hook",
          timeMs: phase.startMs + hook.durationMs,
          attributes: {
            "lifecycle.hook.name": hook.name,
            [lifecycleAttr.outcome]: hook.outcome,
            "lifecycle.hook.duration_ms": hook.durationMs,
            "exception.message": hook.error,
          },
        })),
      }),
    ),
  ];
}

const STATUS_MESSAGES: Readonly<Record<string, string>> = {
  error: "a hook failed",
  timeout: "the budget ran out",
  forced: "a second signal cut it short",
  killed: "the process ended before it was over",
};
