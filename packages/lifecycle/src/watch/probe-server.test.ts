import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProbeServer } from "./probe-server.ts";

let server: Server;
let port: number;

beforeAll(async () => {
  server = createProbeServer((path) => ({ status: 200, text: path, detail: { path } }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
});

afterAll(() => {
  server.close();
  server.closeAllConnections();
});

/** Its end, a reset included. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** Sends bytes as they are and gives back all that comes. */
async function raw(...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  for (const part of parts) socket.write(part);
  socket.end();
  await closeOf(socket);
  return text;
}

const head = (line: string, ...fields: string[]): string =>
  [`${line} HTTP/1.1`, "Host: x", ...fields, "", ""].join("\r\n");

describe("probe server", () => {
  it("answers GET and HEAD of the four probes, with details on request", async () => {
    expect(await raw(head("GET /livez", "Connection: close"))).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\n\/livez\n$/);
    expect(await raw(head("HEAD /readyz", "Connection: close"))).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\n$/);
    expect(await raw(head("GET /healthz?verbose", "Connection: close"))).toContain('"path": "/healthz"');
    expect(await raw(head("GET /startupz?a=1&verbose=0", "Connection: close"))).toContain("application/json");
  });

  it.each<[string, number, (string | Buffer)[]]>([
    ["another path", 404, [head("GET /metrics")]],
    ["another method", 405, [head("DELETE /livez")]],
    ["a long URL", 414, [head(`GET /livez?${"x".repeat(2_000)}`)]],
    ["a large head", 431, [head("GET /livez", `X: ${"x".repeat(10_000)}`)]],
    ["a body that is announced", 413, [head("GET /livez", "Content-Length: 5"), "12345"]],
    ["a body in chunks", 413, [head("GET /livez", "Transfer-Encoding: chunked"), "0\r\n\r\n"]],
    ["a body that waits for a go-ahead", 413, [head("GET /livez", "Content-Length: 5", "Expect: 100-continue")]],
    ["an expectation", 417, [head("GET /livez", "Expect: miracles")]],
    ["an upgrade", 400, [head("GET /livez", "Connection: Upgrade", "Upgrade: websocket")]],
    ["a tunnel", 405, [head("CONNECT example.com:443")]],
    ["a TLS handshake", 400, [Buffer.from("16030100", "hex"), Buffer.alloc(500)]],
    ["random bytes", 400, [Buffer.from("7f454c46fffe00ff0a0d0a0d", "hex")]],
    ["both ways to say a length", 400, [head("GET /livez", "Content-Length: 5", "Transfer-Encoding: chunked")]],
  ])("refuses %s with %i and says why", async (_what, status, parts) => {
    const answer = await raw(...parts);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer.toLowerCase()).toContain("connection: close");
    expect(answer.split("\r\n\r\n")[1]).toMatch(/\w{3}/);
  });

  it("answers a body of 100 MB at once and keeps none of it", async () => {
    const before = process.memoryUsage().rss;
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    let answer = "";
    socket.on("data", (chunk) => {
      answer += String(chunk);
    });
    socket.write(head("POST /livez", `Content-Length: ${100 * 2 ** 20}`));
    const megabyte = Buffer.alloc(2 ** 20);
    const closed = closeOf(socket);
    for (let sent = 0; sent < 100 && !socket.destroyed; sent++) {
      if (!socket.write(megabyte)) await Promise.race([new Promise((go) => socket.once("drain", go)), closed]);
    }
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 405 [\s\S]*POST is not answered here/);
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 2 ** 20);
    expect(await raw(head("GET /livez", "Connection: close"))).toContain("200 OK");
  });
});
