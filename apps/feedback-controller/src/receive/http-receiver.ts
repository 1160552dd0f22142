import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { type Logger, messageOf } from "@holdfast/core";
import { listen } from "../listen.ts";
import { type Format, fullSuccess, rpcCode, statusMessage } from "../otlp/index.ts";
import { type Intake, type Refusal, type Signal, signals } from "./intake.ts";
import type { MemoryGate } from "./memory-gate.ts";

export interface ReceiverOptions {
  host: string;
  port: number;
  intake: Intake;
  gate: MemoryGate;
  /** Largest body, before and after decompression. */
  maxBodyBytes: number;
  logger: Logger;
}

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};

/** What a refused sender may still write before the connection is cut: long enough to read the answer. */
const LINGER_MS = 5_000;
const RETRY_AFTER_S = 1;

/** An answer other than success, on its way to the sender. */
class Refused extends Error {
  readonly status: number;
  readonly code: number;
  readonly refusal: Refusal;

  constructor(status: number, code: number, refusal: Refusal, message: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.refusal = refusal;
  }
}

/** Receives OTLP/HTTP: POST /v1/traces, /v1/metrics and /v1/logs. */
export class HttpReceiver {
  readonly server: Server;
  readonly #options: ReceiverOptions;
  #port = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 60_000 });
    this.server.maxConnections = 2_000;
    this.server.on("request", (request, response) => void this.#handle(request, response));
    // Whoever does not speak HTTP gets a last line in it; without a listener the default does the same.
    this.server.on("clientError", (_error, socket) => {
      if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      else socket.destroy();
    });
  }

  get port(): number {
    return this.#port;
  }

  /** @throws HoldfastError PORT_TAKEN */
  async start(): Promise<void> {
    this.#port = await listen(this.server, { ...this.#options, option: "--otlp-http-port" });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeIdleConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = formatOf(request);
    try {
      const signal = route(request);
      if (format === undefined)
        throw new Refused(
          415,
          rpcCode.invalidArgument,
          "unsupported",
          `Content-Type must be ${CONTENT_TYPES.protobuf} or ${CONTENT_TYPES.json}`,
        );
      await this.#receive(request, signal, format);
      answer(response, 200, format, fullSuccess(format));
    } catch (error) {
      if (request.destroyed && !request.complete) return; // The sender left; there is nobody to answer.
      this.#refuse(request, response, format ?? "json", error);
    }
  }

  async #receive(request: IncomingMessage, signal: Signal, format: Format): Promise<void> {
    const { gate, intake, maxBodyBytes } = this.#options;
    const encoding = encodingOf(request);
    let taken = 0;
    const take = (bytes: number): void => {
      const reason = gate.take(bytes);
      if (reason !== undefined) throw new Refused(429, rpcCode.unavailable, "busy", reason);
      taken += bytes;
    };
    try {
      const original = await readBody(request, maxBodyBytes, take);
      let body: Uint8Array = original;
      if (encoding === "gzip") {
        // The worst case is taken, not the size that the sender states; it is used for some milliseconds only.
        take(maxBodyBytes);
        body = gunzip(original, maxBodyBytes);
      }
      intake.accept({ signal, format, body, original, encoding });
    } finally {
      gate.give(taken);
    }
  }

  #refuse(request: IncomingMessage, response: ServerResponse, format: Format, error: unknown): void {
    const refused = asRefused(error, this.#options.logger);
    this.#options.intake.refused[refused.refusal]++;
    if (refused.status === 429) response.setHeader("Retry-After", String(RETRY_AFTER_S));
    if (refused.status === 405) response.setHeader("Allow", "POST");
    if (refused.status === 415) response.setHeader("Accept-Encoding", "gzip");
    if (!request.complete) {
      // A sender that still writes hears the answer only if somebody goes on reading; what it writes is thrown away. With
      // "Connection: close" Node would cut it off as soon as the answer is written.
      const timer = setTimeout(() => request.destroy(), LINGER_MS);
      timer.unref();
      request.on("close", () => clearTimeout(timer));
      request.on("error", () => {});
      request.resume();
    }
    answer(response, refused.status, format, statusMessage(format, refused.code, refused.message));
  }
}

function asRefused(error: unknown, logger: Logger): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof RangeError) return new Refused(400, rpcCode.invalidArgument, "malformed", error.message);
  logger.error({ error: messageOf(error) }, "a request could not be handled");
  return new Refused(503, rpcCode.unavailable, "busy", "the receiver failed");
}

function answer(response: ServerResponse, status: number, format: Format, body: Uint8Array): void {
  response.writeHead(status, { "Content-Type": CONTENT_TYPES[format], "Content-Length": body.length });
  response.end(body);
}

function route(request: IncomingMessage): Signal {
  const path = (request.url ?? "").split("?", 1)[0];
  const signal = signals.find((name) => path === `/v1/${name}`);
  if (signal === undefined)
    throw new Refused(404, rpcCode.unimplemented, "unsupported", "paths are /v1/traces, /v1/metrics and /v1/logs");
  if (request.method !== "POST")
    throw new Refused(405, rpcCode.unimplemented, "unsupported", "the method must be POST");
  return signal;
}

function formatOf(request: IncomingMessage): Format | undefined {
  const type = (request.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (type === CONTENT_TYPES.protobuf) return "protobuf";
  return type === CONTENT_TYPES.json ? "json" : undefined;
}

function encodingOf(request: IncomingMessage): "gzip" | undefined {
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (encoding === "gzip") return "gzip";
  if (encoding === "identity" || encoding === "") return undefined;
  throw new Refused(415, rpcCode.invalidArgument, "unsupported", "Content-Encoding must be gzip, or none");
}

/** Reads the body as far as there is room; `take` counts every byte, and throws where there is none. */
function readBody(request: IncomingMessage, maxBytes: number, take: (bytes: number) => void): Promise<Buffer> {
  const tooLarge = (): Refused =>
    new Refused(413, rpcCode.resourceExhausted, "too-large", `the body is larger than ${maxBytes} bytes`);
  return new Promise((resolve, reject) => {
    const stated = Number(request.headers["content-length"] ?? 0);
    if (stated > maxBytes) {
      reject(tooLarge());
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    const fail = (error: unknown): void => {
      request.off("data", onData);
      chunks.length = 0;
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      try {
        if (length > maxBytes) throw tooLarge();
        take(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        fail(error);
      }
    };
    request.on("data", onData);
    request.once("end", () => resolve(Buffer.concat(chunks)));
    request.once("error", fail);
    request.once("close", () => {
      if (!request.complete) fail(new RangeError("the body ended early"));
    });
  });
}

function gunzip(bytes: Uint8Array, maxBytes: number): Buffer {
  try {
    // On this thread: at most 20 MiB come out, so it takes some milliseconds, and only one at a time holds memory.
    return gunzipSync(bytes, { maxOutputLength: maxBytes, chunkSize: 64 * 1024 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw new Refused(
        413,
        rpcCode.resourceExhausted,
        "too-large",
        `the body is larger than ${maxBytes} bytes when decompressed`,
      );
    throw new RangeError("the body is not gzip");
  }
}
