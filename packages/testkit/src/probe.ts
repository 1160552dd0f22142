import { type IncomingMessage, type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { type Clock, messageOf, systemClock } from "@holdfast/core";

export interface ProbeOptions {
  /** For the whole exchange, redirects and body included, in milliseconds. Default 1000, the kubelet's. */
  timeoutMs?: number | undefined;
  /** Breaks the exchange off; the result is a failure. */
  signal?: AbortSignal | undefined;
  clock?: Clock | undefined;
}

export interface ProbeResult {
  /** The kubelet's verdict: an answer from 200 to 399, whole within the time. */
  ok: boolean;
  /** Absent when no answer came. */
  status?: number | undefined;
  durationMs: number;
  /** At most 10 KiB of it. */
  body: string;
  /** Why there was no whole answer. */
  error?: string | undefined;
}

/** k8s.io/kubernetes pkg/probe/http: maxRespBodyLength, and net/http's limit on redirects. */
const LONGEST_BODY = 10 * 1024;
const MOST_REDIRECTS = 10;

/**
 * Probes a URL as the kubelet of Kubernetes 1.34 does: a new connection, no trace context, certificates not looked at,
 * redirects followed on the same host only (one to another host is success), the time-out over everything.
 *
 * Source: k8s.io/kubernetes pkg/probe/http/http.go and request.go.
 *
 * @returns never rejects: a failed exchange is a result
 */
export async function probe(url: string | URL, options: ProbeOptions = {}): Promise<ProbeResult> {
  const { timeoutMs = 1_000, clock = systemClock } = options;
  const startedMs = clock.monotonic();
  const late = new AbortController();
  const signal = options.signal ? AbortSignal.any([late.signal, options.signal]) : late.signal;
  const timer = clock.after(timeoutMs, () => late.abort(new Error(`no whole answer within ${timeoutMs} ms`)));
  let status: number | undefined;
  try {
    let at = new URL(url);
    for (let redirects = 0; ; redirects++) {
      const response = await get(at, signal);
      status = response.statusCode!;
      const next = redirectOf(response, at);
      if (next?.host === at.host) {
        response.destroy();
        if (redirects === MOST_REDIRECTS) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
        at = next;
        continue;
      }
      const body = await read(response, signal);
      return { ok: status >= 200 && status < 400, status, durationMs: clock.monotonic() - startedMs, body };
    }
  } catch (error) {
    const reason = signal.aborted ? signal.reason : error;
    return { ok: false, status, durationMs: clock.monotonic() - startedMs, body: "", error: messageOf(reason) };
  } finally {
    timer.cancel();
  }
}

function get(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions & { rejectUnauthorized?: boolean } = {
      agent: false,
      headers: { "User-Agent": "kube-probe/1.34", Accept: "*/*", Connection: "close" },
      signal,
    };
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...options, rejectUnauthorized: false }, resolve)
        : requestHttp(url, options, resolve);
    request.on("error", reject);
    request.end();
  });
}

function redirectOf(response: IncomingMessage, at: URL): URL | undefined {
  const { statusCode = 0, headers } = response;
  if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) return undefined;
  return new URL(headers.location, at);
}

async function read(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    // What is beyond is neither read nor held against the server.
    if (length >= LONGEST_BODY) break;
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks).subarray(0, LONGEST_BODY).toString("utf8");
}
