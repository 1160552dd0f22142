import type { StoryAttributes, StorySpan } from "@holdfast/core";
import { type Attributes, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { hrTimeDuration, millisToHrTime } from "@opentelemetry/core";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";

const KINDS: Readonly<Record<NonNullable<StorySpan["kind"]>, SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

const STATUSES: Readonly<Record<NonNullable<StorySpan["status"]>, SpanStatusCode>> = {
  unset: SpanStatusCode.UNSET,
  ok: SpanStatusCode.OK,
  error: SpanStatusCode.ERROR,
};

/** Crashes, shutdowns, decisions: what is told has no tracer of its own. */
const SCOPE = { name: "holdfast.story" };

/**
 * Makes spans that an OpenTelemetry exporter takes out of spans that are told: with their own ids, times and resource.
 *
 * @param own the resource of spans that bring none
 * @throws TypeError for an id that is not W3C Trace Context hex
 */
export function toldSpans(spans: readonly StorySpan[], own: StoryAttributes): ReadableSpan[] {
  // The OTLP writer groups spans by the identity of their resource.
  const resources = new Map<StoryAttributes, Resource>();
  const resourceOf = (attributes: StoryAttributes): Resource => {
    let resource = resources.get(attributes);
    if (!resource) {
      resource = resourceFromAttributes(present(attributes));
      resources.set(attributes, resource);
    }
    return resource;
  };
  return spans.map((span) => {
    const startTime = millisToHrTime(span.startTimeMs);
    const endTime = millisToHrTime(Math.max(span.startTimeMs, span.endTimeMs));
    const context = contextOf(span.traceId, span.spanId);
    return {
      name: span.name,
      kind: KINDS[span.kind ?? "internal"],
      spanContext: () => context,
      ...(span.parentSpanId ? { parentSpanContext: contextOf(span.traceId, span.parentSpanId) } : {}),
      startTime,
      endTime,
      duration: hrTimeDuration(startTime, endTime),
      status: {
        code: STATUSES[span.status ?? "unset"],
        ...(span.statusMessage ? { message: span.statusMessage } : {}),
      },
      attributes: present(span.attributes),
      links: (span.links ?? []).map((link) => ({
        context: contextOf(link.traceId, link.spanId),
        attributes: present(link.attributes),
      })),
      events: (span.events ?? []).map((event) => ({
        name: event.name,
        time: millisToHrTime(event.timeMs),
        attributes: present(event.attributes),
      })),
      ended: true,
      resource: resourceOf(span.resource ?? own),
      instrumentationScope: SCOPE,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  });
}

function contextOf(traceId: string, spanId: string): SpanContext {
  if (!/^[0-9a-f]{32}$/.test(traceId)) throw new TypeError(`"${traceId}" is not a trace id of 32 hex digits`);
  if (!/^[0-9a-f]{16}$/.test(spanId)) throw new TypeError(`"${spanId}" is not a span id of 16 hex digits`);
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

function present(attributes: StoryAttributes = {}): Attributes {
  const kept: Attributes = {};
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined) kept[key] = value as NonNullable<Attributes[string]>;
  return kept;
}
