import { type Clock, HoldfastError } from "@holdfast/core";
import type { Attributes, TextMapSetter } from "@opentelemetry/api";
import { keepAttempts } from "./attempt-record.ts";
import { injectContext } from "./call-trace.ts";
import { DEADLINE_HEADER, ENVOY_TIMEOUT_HEADER } from "./deadline.ts";
import { TransportError } from "./errors.ts";
import type { AttemptScope, Exchange, Tail, Verdict } from "./exchange.ts";
import type { HttpRequest } from "./http-request.ts";
import type { HttpFetch } from "./options.ts";
import { discardBody, watchBody } from "./response-body.ts";
import { parseRetryAfter } from "./retry-after.ts";
import { neverSent, transportReason } from "./transport-failure.ts";

/** Statuses that the same request may well not get again. 501 and 505 are as final as 400. */
const TRANSIENT = new Set([408, 429, 500, 502, 503, 504]);

const headerSetter: TextMapSetter<Headers> = { set: (headers, name, value) => headers.set(name, value) };

/** One HTTP request, over whichever fetch. */
export class HttpExchange implements Exchange<Response> {
  readonly #target: string;
  readonly #request: HttpRequest;
  readonly #address: (attempt: number) => URL;
  readonly #fetch: HttpFetch;
  readonly #clock: Clock;
  #url: URL | undefined;
  #signal: AbortSignal | undefined;

  /** @param address where the given attempt goes; asked once for each */
  constructor(target: string, request: HttpRequest, address: (attempt: number) => URL, fetch: HttpFetch, clock: Clock) {
    this.#target = target;
    this.#request = request;
    this.#address = address;
    this.#fetch = fetch;
    this.#clock = clock;
  }

  get repeatable(): boolean {
    return this.#request.safe && this.#request.replayable;
  }

  describe(attempt: number): { name: string; attributes: Attributes } {
    const url = this.#addressOf(attempt);
    const { method } = this.#request;
    return {
      name: method,
      attributes: {
        "http.request.method": method,
        "url.full": withoutSecrets(url),
        "server.address": url.hostname,
        "server.port": Number(url.port) || (url.protocol === "https:" ? 443 : 80),
      },
    };
  }

  async send(scope: AttemptScope): Promise<Response> {
    const { method, headers: given, body, rest } = this.#request;
    const headers = new Headers(given);
    injectContext(scope.trace, headers, headerSetter);
    if (scope.limitMs !== Number.POSITIVE_INFINITY) {
      headers.set(DEADLINE_HEADER, String(Math.max(0, Math.floor(scope.callRemainingMs()))));
      headers.set(ENVOY_TIMEOUT_HEADER, String(Math.max(0, Math.floor(scope.limitMs))));
    }
    const url = this.#addressOf(scope.attempt);
    this.#url = undefined;
    this.#signal = scope.signal;
    const init: RequestInit = { ...rest, method, headers, body, signal: scope.signal };
    const fetch = this.#fetch;
    const response = await (scope.trace ? scope.trace.suppressed(() => fetch(url, init)) : fetch(url, init));
    scope.trace?.span.setAttribute("http.response.status_code", response.status);
    return response;
  }

  judge(response: Response): Verdict {
    const { status } = response;
    const detail = String(status);
    if (status < 400) return { outcome: "success", detail, retry: false };
    const retry = TRANSIENT.has(status) && this.repeatable;
    const retryAfter = retry ? response.headers.get("retry-after") : null;
    return {
      outcome: status >= 500 ? "failure" : status === 429 ? "overload" : "success",
      detail,
      retry,
      retryAfterMs: retryAfter === null ? undefined : parseRetryAfter(retryAfter, this.#clock.now()),
      errorType: detail,
    };
  }

  judgeError(error: unknown): Verdict {
    // fetch's own refusal of a request that cannot be sent: nobody's fault but the caller's.
    if (isMisuse(error)) return { outcome: "rejected", detail: "TypeError", retry: false, errorType: "TypeError" };
    const detail = transportReason(error) || "transport";
    const retry = this.#request.replayable && (this.#request.safe || neverSent(error));
    return { outcome: "failure", detail, retry, errorType: detail };
  }

  errorFor(error: unknown): unknown {
    if (isMisuse(error) || HoldfastError.is(error)) return error;
    return new TransportError(this.#target, transportReason(error), error);
  }

  discard(response: Response): void {
    void discardBody(response, this.#clock);
  }

  deliver(response: Response, tail: Tail): Response {
    const signal = this.#signal;
    const delivered = watchBody(response, {
      onEnd: () => tail.end(),
      onError: (error) => {
        tail.end(error);
        // Cut off by the deadline or the caller: what they said counts, not what the transport made of it.
        if (signal?.aborted) return signal.reason;
        const broken = this.errorFor(error);
        keepAttempts(broken, tail.attempts);
        return broken;
      },
    });
    keepAttempts(delivered, tail.attempts);
    return delivered;
  }

  #addressOf(attempt: number): URL {
    this.#url ??= this.#address(attempt);
    return this.#url;
  }
}

function isMisuse(error: unknown): boolean {
  return error instanceof TypeError && error.cause === undefined;
}

/** Query keys that the semantic conventions for `url.full` want redacted. */
const SECRET_KEYS = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

function withoutSecrets(url: URL): string {
  if (!url.username && !url.password && !url.search) return url.href;
  const shown = new URL(url);
  if (shown.username) shown.username = "REDACTED";
  if (shown.password) shown.password = "REDACTED";
  for (const key of SECRET_KEYS) if (shown.searchParams.has(key)) shown.searchParams.set(key, "REDACTED");
  return shown.href;
}
