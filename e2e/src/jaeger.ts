/** A span as Jaeger's query API gives it, with what the checks ask about made easy to reach. */
export interface JaegerSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  /** Milliseconds since the epoch. */
  startMs: number;
  attributes: Readonly<Record<string, unknown>>;
  resource: Readonly<Record<string, unknown>>;
  service: string;
  links: readonly { traceId: string; spanId: string }[];
  events: readonly Readonly<Record<string, unknown>>[];
}

interface Tag {
  key: string;
  value: unknown;
}

interface RawTrace {
  traceID: string;
  spans: {
    traceID: string;
    spanID: string;
    operationName: string;
    startTime: number;
    processID: string;
    references: { refType: string; traceID: string; spanID: string }[];
    tags: Tag[];
    logs: { fields: Tag[] }[];
  }[];
  processes: Record<string, { serviceName: string; tags: Tag[] }>;
}

export interface TraceSearch {
  service: string;
  operation?: string | undefined;
  /** Attributes of a span that must match. */
  tags?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds since the epoch. */
  fromMs: number;
  toMs: number;
  /** Default 200. */
  limit?: number | undefined;
}

/** Asks a real Jaeger. */
export class Jaeger {
  readonly #url: string;

  /** @param url base URL of the query API, such as http://127.0.0.1:16686 */
  constructor(url: string) {
    this.#url = url;
  }

  /** Traces in which one span matches, each with all its spans. */
  async search(search: TraceSearch): Promise<JaegerSpan[][]> {
    const query = new URLSearchParams({
      service: search.service,
      start: String(Math.floor(search.fromMs * 1_000)),
      end: String(Math.ceil(search.toMs * 1_000)),
      limit: String(search.limit ?? 200),
    });
    if (search.operation) query.set("operation", search.operation);
    if (search.tags) query.set("tags", JSON.stringify(search.tags));
    const response = await fetch(`${this.#url}/api/traces?${query}`, { signal: AbortSignal.timeout(30_000) });
    const text = await response.text();
    if (!response.ok) throw new Error(`Jaeger answered ${response.status}: ${text.slice(0, 300)}`);
    return ((JSON.parse(text) as { data: RawTrace[] | null }).data ?? []).map(spansOf);
  }

  /**
   * Every span that a service's processes sent in a time, asked for in slices so that no answer grows without bound.
   *
   * @throws Error when one slice holds more traces than could be asked for
   */
  async allSpans(service: string, fromMs: number, toMs: number): Promise<JaegerSpan[]> {
    const sliceMs = 2_000;
    const limit = 2_000;
    const spans = new Map<string, JaegerSpan>();
    for (let at = fromMs; at < toMs; at += sliceMs) {
      const traces = await this.search({ service, fromMs: at, toMs: Math.min(at + sliceMs, toMs), limit });
      if (traces.length >= limit)
        throw new Error(`more than ${limit} traces of ${service} within ${sliceMs} ms: the count would be wrong`);
      for (const span of traces.flat()) if (span.service === service) spans.set(`${span.traceId}/${span.spanId}`, span);
    }
    return [...spans.values()];
  }
}

function spansOf(trace: RawTrace): JaegerSpan[] {
  return trace.spans.map((span) => {
    const process = trace.processes[span.processID]!;
    // The parent is the first reference of this trace; links are the others.
    const parent = span.references.find(({ refType, traceID }) => refType === "CHILD_OF" && traceID === span.traceID);
    return {
      traceId: span.traceID,
      spanId: span.spanID,
      parentSpanId: parent?.spanID,
      name: span.operationName,
      startMs: span.startTime / 1_000,
      attributes: record(span.tags),
      resource: record(process.tags),
      service: process.serviceName,
      links: span.references
        .filter((reference) => reference !== parent)
        .map(({ traceID, spanID }) => ({ traceId: traceID, spanId: spanID })),
      events: span.logs.map(({ fields }) => record(fields)),
    };
  });
}

function record(tags: readonly Tag[]): Record<string, unknown> {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}
