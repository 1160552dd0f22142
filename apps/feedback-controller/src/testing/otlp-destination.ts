import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface ReceivedRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Answer {
  status: number;
  headers?: Record<string, string> | undefined;
  body?: Uint8Array | undefined;
}

/** A real OTLP/HTTP endpoint that keeps what it was sent, byte for byte, and answers as a test wants. */
export class OtlpDestination implements AsyncDisposable {
  readonly requests: ReceivedRequest[] = [];
  /** What the next requests are answered; when it is empty, 200. */
  readonly answers: Answer[] = [];
  readonly #server: Server;
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        this.requests.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) });
        const { status, headers = {}, body = new Uint8Array(0) } = this.answers.shift() ?? { status: 200 };
        response.writeHead(status, headers).end(body);
        for (const { count, resolve } of this.#waiting) if (this.requests.length >= count) resolve();
      });
    });
  }

  static async start(port = 0): Promise<OtlpDestination> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return new OtlpDestination(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves when so many requests have come in all. */
  received(count: number): Promise<void> {
    if (this.requests.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
