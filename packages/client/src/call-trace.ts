import { attr } from "@holdfast/core";
import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapSetter,
  trace,
} from "@opentelemetry/api";
import type { AttemptRecord } from "./attempt-record.ts";
import type { Verdict } from "./exchange.ts";

/**
 * The key under which the OpenTelemetry SDK keeps "do not trace this". Keys are `Symbol.for(description)`, so that this
 * is the SDK's own without depending on it.
 */
const SUPPRESS_TRACING = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");

const tracer = trace.getTracer("@holdfast/client");

/** The span of a logical call, and the spans of its attempts below it. Exists only while somebody traces. */
export class CallTrace {
  readonly #span: Span;
  readonly #context: Context;
  readonly #target: string;

  private constructor(span: Span, target: string) {
    this.#span = span;
    this.#context = trace.setSpan(context.active(), span);
    this.#target = target;
  }

  /** Undefined when no SDK is registered or tracing is suppressed: the spans would go nowhere and cost time. */
  static start(target: string, mode: string): CallTrace | undefined {
    const attributes = { [attr.target]: target, [attr.mode]: mode };
    const span = tracer.startSpan(`holdfast.call ${target}`, { attributes });
    return isSpanContextValid(span.spanContext()) ? new CallTrace(span, target) : undefined;
  }

  attempt(attempt: number, name: string, attributes: Attributes): AttemptTrace {
    const span = tracer.startSpan(
      name,
      {
        kind: SpanKind.CLIENT,
        attributes: {
          ...attributes,
          [attr.target]: this.#target,
          ...(attempt > 1 && { "http.request.resend_count": attempt - 1 }),
        },
      },
      this.#context,
    );
    return new AttemptTrace(span, trace.setSpan(this.#context, span));
  }

  event(name: string, attributes: Attributes): void {
    this.#span.addEvent(name, attributes);
  }

  end(last: Pick<AttemptRecord, "outcome" | "detail">, attempts: number): void {
    this.#span.setAttribute("holdfast.attempts", attempts);
    this.#span.setAttribute("holdfast.outcome", last.outcome);
    if (last.outcome === "failure" || last.outcome === "timeout" || last.outcome === "rejected") {
      this.#span.setAttribute(attr.errorType, last.detail);
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: last.detail });
    }
    this.#span.end();
  }
}

export class AttemptTrace {
  readonly span: Span;
  readonly #context: Context;
  #ended = false;

  constructor(span: Span, attemptContext: Context) {
    this.span = span;
    this.#context = attemptContext;
  }

  /** Runs `fn` inside the attempt's span: what it starts becomes a child. */
  inside<R>(fn: () => R): R {
    return context.with(this.#context, fn);
  }

  /** Runs the transport so that an instrumentation of it does not tell the attempt a second time. */
  suppressed<R>(fn: () => R): R {
    return context.with(this.#context.setValue(SUPPRESS_TRACING, true), fn);
  }

  inject<Carrier>(carrier: Carrier, setter: TextMapSetter<Carrier>): void {
    propagation.inject(this.#context, carrier, setter);
  }

  /** Harmless when it was called before: an attempt whose retry is refused is told twice. */
  end(verdict: Verdict): void {
    if (this.#ended) return;
    this.#ended = true;
    if (verdict.errorType !== undefined) {
      this.span.setAttribute(attr.errorType, verdict.errorType);
      this.span.setStatus({ code: SpanStatusCode.ERROR, message: verdict.detail });
    } else if (verdict.outcome === "cancelled") {
      // Nobody's error, but whoever reads the trace wants to know why it stops here.
      this.span.setAttribute(attr.errorType, "cancelled");
    }
    this.span.end();
  }
}

/** Writes the trace context, and baggage, of an attempt into what is sent. Without a trace, of what is active now. */
export function injectContext<Carrier>(
  attempt: AttemptTrace | undefined,
  carrier: Carrier,
  setter: TextMapSetter<Carrier>,
): void {
  if (attempt) attempt.inject(carrier, setter);
  else propagation.inject(context.active(), carrier, setter);
}
