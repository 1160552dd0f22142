// A service as a user would write it, in a process of its own. It says what happens as JSON lines on standard output.
import { createServer, type ServerResponse } from "node:http";
import { HoldfastError, newSpanId, newTraceId, type StorySpan } from "@holdfast/core";
import { createLifecycle } from "../index.ts";

const settings = JSON.parse(process.env.CHILD ?? "{}") as ChildSettings;

export interface ChildSettings {
  stateDir?: string;
  instance?: string;
  lameDuckMs?: number;
  graceMs?: number;
  drainMs?: number;
  readinessStallMs?: number;
  probePort?: number;
  /** Exports fail. */
  deafSink?: boolean;
  /** A release hook that never ends. */
  hangInRelease?: boolean;
  /** A release hook that keeps the main thread busy for ever. */
  spinInRelease?: boolean;
}

export type ChildLine =
  | { up: { probeUrl: string; url: string; pid: number } }
  | { story: StorySpan }
  | { request: { path: string; traceId: string; spanId: string } }
  | { told: string | null }
  | { tellingFailed: string }
  | { last: true }
  | { startFailed: { code?: string; message: string } };

function say(line: ChildLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const held: ServerResponse[] = [];

function spin(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

try {
  const lifecycle = await createLifecycle({
    service: "child",
    instance: settings.instance ?? "child-1",
    stateDir: settings.stateDir ?? false,
    probe: { port: settings.probePort ?? 0, host: "127.0.0.1" },
    lameDuckMs: settings.lameDuckMs ?? 0,
    graceMs: settings.graceMs,
    drainMs: settings.drainMs,
    readinessStallMs: settings.readinessStallMs,
    resource: { "service.name": "child", "service.instance.id": settings.instance ?? "child-1", pid: process.pid },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    sink: {
      async exportSpans(spans) {
        if (settings.deafSink) throw new Error("nobody listens");
        for (const story of spans) say({ story });
      },
    },
  });
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    const span = { traceId: newTraceId(), spanId: newSpanId() };
    lifecycle.observer.onStart({
      ...span,
      name: `GET ${path}`,
      kind: "server",
      startTimeMs: Date.now(),
      attributes: { "url.path": path },
    });
    response.on("close", () => lifecycle.observer.onEnd(span));
    say({ request: { path, ...span } });
    if (path === "/hold") {
      held.push(response);
    } else if (path === "/release") {
      for (const waiting of held.splice(0)) waiting.end("held");
      response.end("released");
    } else if (path.startsWith("/block")) {
      spin(Number(path.split("=")[1]));
      response.end("blocked");
    } else if (path === "/throw") {
      setImmediate(() => {
        throw new RangeError("thrown in a request");
      });
    } else if (path === "/reject") {
      void Promise.reject(new Error("rejected in a request"));
    } else if (path === "/oom") {
      const hoard: unknown[] = [];
      for (;;) hoard.push(Array.from({ length: 10_000 }, () => ({})));
    } else if (path === "/exit") {
      process.exit(3);
    } else {
      response.end("hello");
    }
  });
  if (settings.hangInRelease) lifecycle.onShutdown("release", "hang", () => new Promise(() => {}));
  if (settings.spinInRelease) lifecycle.onShutdown("release", "spin", () => spin(Number.POSITIVE_INFINITY));
  lifecycle.setLast("telemetry", () => say({ last: true }));
  const { port } = await lifecycle.serve(server, { port: 0, host: "127.0.0.1" });
  say({ up: { probeUrl: lifecycle.probeUrl!, url: `http://127.0.0.1:${port}`, pid: process.pid } });
  try {
    say({ told: (await lifecycle.tellPreviousDeath())?.cause ?? null });
  } catch (error) {
    say({ tellingFailed: HoldfastError.is(error) ? error.code : String(error) });
  }
} catch (error) {
  const { code, message } = error as HoldfastError;
  say({ startFailed: { code, message } });
  process.exitCode = 1;
}
