import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Clock, type Logger, messageOf } from "@holdfast/core";
import type { Component } from "../component.ts";
import type { Decision } from "../decide/decision.ts";
import type { DecisionLoop } from "../decide/decision-loop.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import { listen } from "../listen.ts";
import type { Edge } from "../observe/edge.ts";
import type { Observer } from "../observe/observer.ts";
import { coveredMs } from "../observe/rolling.ts";
import type { Intake } from "../receive/intake.ts";
import type { MemoryGate } from "../receive/memory-gate.ts";
import type { DecisionStore } from "../store/decision-store.ts";
import type { TraceStore } from "../store/trace-store.ts";
import { callsView, rounded } from "./views.ts";

export interface ApiOptions {
  host: string;
  port: number;
  observer: Observer;
  /** Undefined until decisions began. */
  loop: () => DecisionLoop | undefined;
  traces: TraceStore;
  decisions: DecisionStore<Decision>;
  intake: Intake;
  gate: MemoryGate;
  forwarder: Forwarder;
  components: readonly Component[];
  clock: Clock;
  logger: Logger;
}

const DEFAULT_LIMIT = 50;
const HIGHEST_LIMIT = 1_000;

class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Answers questions about what the controller sees and does. It changes nothing. */
export class ApiServer {
  readonly server: Server;
  readonly #options: ApiOptions;
  #port = 0;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) =>
      this.#handle(request, response),
    );
    this.server.maxConnections = 200;
  }

  get port(): number {
    return this.#port;
  }

  /** @throws HoldfastError PORT_TAKEN */
  async start(): Promise<void> {
    this.#port = await listen(this.server, { ...this.#options, option: "--api-port" });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    // Nothing that is asked here has a body; what comes is thrown away.
    request.resume();
    try {
      const { status, body } = this.#answer(request);
      send(response, status, body);
    } catch (error) {
      if (!(error instanceof ApiError)) this.#options.logger.error({ error: messageOf(error) }, "the API failed");
      const { status, code, message } =
        error instanceof ApiError ? error : new ApiError(500, "INTERNAL", "the controller could not answer");
      if (status === 405) response.setHeader("Allow", "GET, HEAD");
      send(response, status, { error: { code, message } });
    }
  }

  #answer(request: IncomingMessage): { status: number; body: unknown } {
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new ApiError(405, "METHOD_NOT_ALLOWED", "the API only answers GET");
    const url = URL.parse(request.url ?? "", "http://api");
    if (url === null) throw new ApiError(400, "BAD_REQUEST", "the path cannot be read");
    const trace = /^\/api\/traces\/([^/]+)$/.exec(url.pathname);
    if (trace !== null) return { status: 200, body: this.#trace(trace[1]!) };
    switch (url.pathname) {
      case "/health":
        return this.#health();
      case "/api/services":
        return { status: 200, body: { services: this.#services() } };
      case "/api/edges":
        return { status: 200, body: { edges: this.#edges() } };
      case "/api/traces":
        return { status: 200, body: { traces: this.#options.traces.list(limitOf(url)) } };
      case "/api/decisions":
        return { status: 200, body: { decisions: this.#options.decisions.list(limitOf(url)) } };
      default:
        throw new ApiError(
          404,
          "NOT_FOUND",
          "there are /health and /api/services, edges, traces, traces/ID, decisions",
        );
    }
  }

  #health(): { status: number; body: unknown } {
    const { components, intake, gate, forwarder, traces, observer } = this.#options;
    const statuses = components.map(({ status }) => status);
    const down = statuses.some((status) => !["ok", "recoverable-error"].includes(status));
    const ailing = statuses.includes("recoverable-error");
    return {
      status: down ? 503 : 200,
      body: {
        status: down ? "unavailable" : ailing ? "degraded" : "ok",
        components: Object.fromEntries(components.map(({ name, status, error }) => [name, { status, error }])),
        receiver: { accepted: intake.accepted, refused: intake.refused, inFlightBytes: gate.inFlightBytes },
        forwarded: forwarder.destinations.map(({ url, counts }) => ({ url, ...counts })),
        traces: traces.counts,
        memory: { rssBytes: process.memoryUsage.rss() },
        namesLeftOut: observer.refusedNames,
      },
    };
  }

  #services(): unknown[] {
    const { observer, clock } = this.#options;
    const nowMs = clock.monotonic();
    const { windowMs } = observer;
    return [...observer.services.values()].map((service) => ({
      service: service.name,
      ...callsView(service.window.total(nowMs), coveredMs(windowMs, nowMs)),
      logErrors: service.logErrors,
      instances: observer.fleet(service.name)?.live(nowMs - windowMs) ?? 0,
    }));
  }

  #edges(): unknown[] {
    const { observer } = this.#options;
    const keys = new Map<string, { service: string; target: string }>();
    for (const [key, edge] of observer.edges.entries()) keys.set(key, edge);
    for (const [key, pool] of observer.pools.entries()) keys.set(key, pool);
    return [...keys.values()].map(({ service, target }) => this.#edge(service, target));
  }

  #edge(service: string, target: string): unknown {
    const { observer, clock, loop } = this.#options;
    const nowMs = clock.monotonic();
    const edge: Edge | undefined = observer.edge(service, target);
    const { windowMs } = observer;
    const sinceMs = nowMs - windowMs;
    const members = observer.pool(service, target)?.members(sinceMs, nowMs) ?? [];
    return {
      service,
      target,
      ...(edge === undefined ? {} : callsView(edge.window.total(nowMs), coveredMs(windowMs, nowMs))),
      rejectedPerSecond: rounded(((edge?.rejections.total(nowMs).sum ?? 0) * 1_000) / coveredMs(windowMs, nowMs)),
      breaker: edge?.breakerState(sinceMs) ?? null,
      pools: members,
      tuning: loop()?.view(service, target) ?? null,
    };
  }

  #trace(traceId: string): unknown {
    if (!/^[0-9a-f]{32}$/i.test(traceId)) throw new ApiError(400, "BAD_REQUEST", "a trace's id is 32 hex digits");
    const spans = this.#options.traces.read(traceId.toLowerCase());
    if (spans.length === 0) throw new ApiError(404, "NOT_FOUND", "that trace is not kept, or no longer");
    return { traceId: traceId.toLowerCase(), spans };
  }
}

function limitOf(url: URL): number {
  const given = url.searchParams.get("limit");
  if (given === null) return DEFAULT_LIMIT;
  const limit = /^\d{1,6}$/.test(given) ? Number(given) : 0;
  if (limit < 1 || limit > HIGHEST_LIMIT)
    throw new ApiError(400, "BAD_REQUEST", `limit must be a whole number from 1 to ${HIGHEST_LIMIT}`);
  return limit;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(text);
}
