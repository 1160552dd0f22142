import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ProbeMeasurement } from "./messages.ts";
import { type ProbePath, probePaths } from "./probe-verdict.ts";

/** A probe is a few hundred bytes; whoever sends more is not a prober. */
const LARGEST_HEAD_BYTES = 8_192;
const LONGEST_URL = 1_024;
/** How long a request's head, and a body that nobody asked for, may take, in milliseconds. */
const HEAD_TIMEOUT_MS = 5_000;
const LINGER_MS = 1_000;
const MOST_CONNECTIONS = 256;

export interface ProbeAnswer {
  status: number;
  /** One line, as Kubernetes components answer: "ok" or the reason. */
  text: string;
  /** Answered with ?verbose. */
  detail: Readonly<Record<string, unknown>>;
}

/**
 * An HTTP server that answers probes and nothing else. It promises little on purpose: GET and HEAD of four paths, small
 * heads, no bodies, no waiting; everything else gets a 4xx that says why and the end of its connection.
 *
 * @param answer must return at once
 * @param onAnswered told when the answer is with the kernel
 */
export function createProbeServer(
  answer: (path: ProbePath) => ProbeAnswer,
  onAnswered: (measurement: ProbeMeasurement) => void = () => {},
): Server {
  const server = createServer({
    maxHeaderSize: LARGEST_HEAD_BYTES,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: HEAD_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: HEAD_TIMEOUT_MS,
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.on("request", (request, response) => {
    const refusal = refusalOf(request);
    if (refusal) {
      refuse(request, response, ...refusal);
      return;
    }
    const begunMs = performance.now();
    const path = pathOf(request.url ?? "");
    const ok = respond(request, response, answer(path));
    response.on("finish", () => onAnswered({ path, ok, durationMs: performance.now() - begunMs }));
  });
  // Without these two Node would ask for the body, or hand over the socket.
  server.on("checkContinue", (request, response) => refuse(request, response, 413, "a probe has no body"));
  server.on("checkExpectation", (request, response) => refuse(request, response, 417, "nothing is expected here"));
  server.on("upgrade", (_request, socket) => socket.end(rawResponse(400, "Bad Request", "no upgrade here")));
  server.on("connect", (_request, socket) => socket.end(rawResponse(405, "Method Not Allowed", "not a proxy")));
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    socket.end(rawResponse(...clientErrorResponse(error.code)));
    // Garbage may go on for ever; what is left of it is thrown away for a moment, so that the answer can be read.
    socket.resume();
    linger(() => socket.destroy());
  });
  return server;
}

function refusalOf(request: IncomingMessage): [number, string] | undefined {
  const { method, url = "", headers } = request;
  if (method !== "GET" && method !== "HEAD") return [405, `${method} is not answered here: use GET`];
  if (url.length > LONGEST_URL) return [414, `the URL is longer than ${LONGEST_URL} characters`];
  if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0) {
    return [413, "a probe has no body"];
  }
  if (!probePaths.includes(pathOf(url))) return [404, `no such probe; there are ${probePaths.join(", ")}`];
  return undefined;
}

function pathOf(url: string): ProbePath {
  return url.split("?", 1)[0] as ProbePath;
}

function respond(request: IncomingMessage, response: ServerResponse, answer: ProbeAnswer): boolean {
  const { status, text, detail } = answer;
  const verbose = /[?&]verbose(=|&|$)/.test(request.url ?? "");
  const body = verbose ? `${JSON.stringify(detail, null, 2)}\n` : `${text}\n`;
  response.writeHead(status, {
    "Content-Type": verbose ? "application/json; charset=utf-8" : "text/plain; charset=utf-8",
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : body);
  return status < 400;
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number, reason: string): void {
  const body = `${reason}\n`;
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": Buffer.byteLength(body),
    Connection: "close",
    ...(status === 405 && { Allow: "GET, HEAD" }),
  });
  if (request.method === "HEAD") response.flushHeaders();
  else response.write(body);
  // A client that is still sending reads no answer from a connection that was reset: let it send for a moment. Node resets
  // it as soon as the answer ends, so the answer, whole by its length, ends later.
  request.resume();
  request.once("end", () => response.end());
  linger(() => request.socket.destroy());
}

function linger(then: () => void): void {
  setTimeout(then, LINGER_MS).unref();
}

function clientErrorResponse(code: string | undefined): [number, string, string] {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return [431, "Request Header Fields Too Large", `the head is larger than ${LARGEST_HEAD_BYTES} bytes`];
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, "Request Timeout", `the head did not come within ${HEAD_TIMEOUT_MS} ms`];
    default:
      return [400, "Bad Request", "this is not HTTP/1.1; probes are answered here"];
  }
}

function rawResponse(status: number, phrase: string, reason: string): string {
  return (
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(reason) + 1}\r\nConnection: close\r\n\r\n${reason}\n`
  );
}
