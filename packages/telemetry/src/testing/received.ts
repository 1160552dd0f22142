import { type Fields, float, hex, int, message, messages, readFields, text } from "./protobuf-fields.ts";

export type ReceivedAttributes = Record<string, unknown>;

export interface ReceivedSpan {
  resource: ReceivedAttributes;
  scope: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: "unspecified" | "internal" | "server" | "client" | "producer" | "consumer";
  startNs: bigint;
  endNs: bigint;
  attributes: ReceivedAttributes;
  events: { name: string; timeNs: bigint; attributes: ReceivedAttributes }[];
  links: { traceId: string; spanId: string; attributes: ReceivedAttributes }[];
  status: "unset" | "ok" | "error";
  statusMessage: string;
}

export interface ReceivedMetric {
  resource: ReceivedAttributes;
  name: string;
  unit: string;
  points: { attributes: ReceivedAttributes; value: number; count: bigint; boundaries: number }[];
}

export interface ReceivedLog {
  resource: ReceivedAttributes;
  body: unknown;
  severity: number;
  severityText: string;
  attributes: ReceivedAttributes;
  traceId: string;
  spanId: string;
}

const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const;
const STATUSES = ["unset", "ok", "error"] as const;

/** Field numbers as in opentelemetry-proto 1.x, trace/v1/trace.proto. */
export function readSpans(request: Uint8Array): ReceivedSpan[] {
  return scopes(request).flatMap(({ resource, scope, items }) =>
    items.map((span) => ({
      resource,
      scope,
      traceId: hex(span, 1),
      spanId: hex(span, 2),
      parentSpanId: hex(span, 4),
      name: text(span, 5),
      kind: KINDS[Number(int(span, 6))]!,
      startNs: int(span, 7),
      endNs: int(span, 8),
      attributes: attributes(span, 9),
      events: messages(span, 11).map((event) => ({
        timeNs: int(event, 1),
        name: text(event, 2),
        attributes: attributes(event, 3),
      })),
      links: messages(span, 13).map((link) => ({
        traceId: hex(link, 1),
        spanId: hex(link, 2),
        attributes: attributes(link, 4),
      })),
      status: STATUSES[Number(int(message(span, 15), 3))]!,
      statusMessage: text(message(span, 15), 2),
    })),
  );
}

/** metrics/v1/metrics.proto: gauge, sum and histogram. */
export function readMetrics(request: Uint8Array): ReceivedMetric[] {
  return scopes(request).flatMap(({ resource, items }) =>
    items.map((metric) => ({
      resource,
      name: text(metric, 1),
      unit: text(metric, 3),
      points: [
        ...[5, 7]
          .flatMap((kind) => messages(message(metric, kind), 1))
          .map((point) => ({
            attributes: attributes(point, 7),
            value: point.has(4) ? float(point, 4) : Number(BigInt.asIntN(64, int(point, 6))),
            count: 0n,
            boundaries: 0,
          })),
        ...messages(message(metric, 9), 1).map((point) => ({
          attributes: attributes(point, 9),
          value: float(point, 5),
          count: int(point, 4),
          boundaries: ((point.get(7)?.[0] as Uint8Array | undefined)?.length ?? 0) / 8,
        })),
      ],
    })),
  );
}

/** logs/v1/logs.proto. */
export function readLogs(request: Uint8Array): ReceivedLog[] {
  return scopes(request).flatMap(({ resource, items }) =>
    items.map((record) => ({
      resource,
      severity: Number(int(record, 2)),
      severityText: text(record, 3),
      body: anyValue(message(record, 5)),
      attributes: attributes(record, 6),
      traceId: hex(record, 9),
      spanId: hex(record, 10),
    })),
  );
}

/** The three export requests have one shape: resources, scopes, items, in fields 1, 2, 2. */
function scopes(request: Uint8Array): { resource: ReceivedAttributes; scope: string; items: Fields[] }[] {
  return messages(readFields(request), 1).flatMap((perResource) =>
    messages(perResource, 2).map((perScope) => ({
      resource: attributes(message(perResource, 1), 1),
      scope: text(message(perScope, 1), 1),
      items: messages(perScope, 2),
    })),
  );
}

function attributes(fields: Fields, number: number): ReceivedAttributes {
  return Object.fromEntries(messages(fields, number).map((pair) => [text(pair, 1), anyValue(message(pair, 2))]));
}

function anyValue(value: Fields): unknown {
  if (value.has(1)) return text(value, 1);
  if (value.has(2)) return int(value, 2) === 1n;
  if (value.has(3)) return Number(BigInt.asIntN(64, int(value, 3)));
  if (value.has(4)) return float(value, 4);
  if (value.has(5)) return messages(message(value, 5), 1).map(anyValue);
  if (value.has(6)) return attributes(message(value, 6), 1);
  return null;
}
