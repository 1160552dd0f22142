import { randomBytes } from "node:crypto";

/** What OpenTelemetry takes as an attribute's value. */
export type AttributeValue = string | number | boolean | readonly string[] | readonly number[];
export type StoryAttributes = Readonly<Record<string, AttributeValue | undefined>>;

export interface SpanReference {
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits. */
  spanId: string;
}

export interface StoryLink extends SpanReference {
  attributes?: StoryAttributes | undefined;
}

export interface StoryEvent {
  name: string;
  /** Milliseconds since the epoch. */
  timeMs: number;
  attributes?: StoryAttributes | undefined;
}

/**
 * A finished span that is told rather than traced: its ids and times were decided before, often by a process that is
 * dead by now.
 */
export interface StorySpan extends SpanReference {
  parentSpanId?: string | undefined;
  name: string;
  kind?: "internal" | "server" | "client" | "producer" | "consumer" | undefined;
  /** Milliseconds since the epoch, fractions allowed. */
  startTimeMs: number;
  /** Milliseconds since the epoch, not before `startTimeMs`. */
  endTimeMs: number;
  attributes?: StoryAttributes | undefined;
  status?: "unset" | "ok" | "error" | undefined;
  statusMessage?: string | undefined;
  events?: readonly StoryEvent[] | undefined;
  links?: readonly StoryLink[] | undefined;
  /** The resource of the process whose span this is. Absent: this process. */
  resource?: StoryAttributes | undefined;
}

/** Where stories go. @holdfast/telemetry has one over OTLP; `jsonLinesSink` needs nothing. */
export interface StorySink {
  /** Resolves when the spans were delivered, in whole; rejects when they were not. Sampled always. */
  exportSpans(spans: readonly StorySpan[]): Promise<void>;
}

/** One JSON object a span, on standard output unless told otherwise: stories without OpenTelemetry. */
export function jsonLinesSink(
  write: (line: string) => void = (line) => void process.stdout.write(`${line}\n`),
): StorySink {
  return {
    exportSpans(spans) {
      for (const span of spans) write(JSON.stringify({ story: span }));
      return Promise.resolve();
    },
  };
}

/** What a crash recorder needs to know of a span that a tracer started. */
export interface LiveSpan extends SpanReference {
  parentSpanId?: string | undefined;
  name: string;
  kind: NonNullable<StorySpan["kind"]>;
  startTimeMs: number;
  attributes: StoryAttributes;
}

/** Told of every recorded span at its start and end; must return at once and never throw. */
export interface SpanObserver {
  onStart(span: LiveSpan): void;
  onEnd(span: SpanReference): void;
}

/** 32 random hex digits, not all zero (W3C Trace Context, section 3.2.2.3). */
export function newTraceId(): string {
  return nonZeroHex(16);
}

/** 16 random hex digits, not all zero (W3C Trace Context, section 3.2.2.4). */
export function newSpanId(): string {
  return nonZeroHex(8);
}

function nonZeroHex(bytes: number): string {
  for (;;) {
    const hex = randomBytes(bytes).toString("hex");
    if (/[1-9a-f]/.test(hex)) return hex;
  }
}
