import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type ProbeResult, probe, startProber, TestClock } from "./index.ts";

const servers: Server[] = [];
async function serve(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

describe("a probe", () => {
  it("asks as the kubelet does, on a new connection each time", async () => {
    const asked: { agent?: string | undefined; port?: number | undefined; trace: boolean }[] = [];
    const url = await serve((request, response) => {
      asked.push({
        agent: request.headers["user-agent"],
        port: request.socket.remotePort,
        trace: "traceparent" in request.headers,
      });
      response.end("ok");
    });
    expect(await probe(url)).toMatchObject({ ok: true, status: 200, body: "ok" });
    await probe(url);
    expect(asked[0]).toMatchObject({ agent: "kube-probe/1.34", trace: false });
    expect(asked[1]!.port).not.toBe(asked[0]!.port);
  });

  it.each([
    [200, true],
    [204, true],
    [399, true],
    [400, false],
    [503, false],
  ])("takes status %i for success: %s", async (status, ok) => {
    const url = await serve((_request, response) => void response.writeHead(status).end());
    expect(await probe(url)).toMatchObject({ ok, status });
  });

  it("fails when nobody listens, and does not reject", async () => {
    const url = await serve(() => {});
    for (const server of servers.splice(0)) server.close();
    const result = await probe(url);
    expect(result).toMatchObject({ ok: false, status: undefined });
    expect(result.error).toContain("ECONNREFUSED");
  });

  it("fails when the body does not end within the time", async () => {
    const clock = new TestClock();
    const url = await serve((_request, response) => {
      response.write("some, ");
      clock.advance(1_000);
    });
    expect(await probe(url, { clock })).toMatchObject({
      ok: false,
      durationMs: 1_000,
      error: "no whole answer within 1000 ms",
    });
  });

  it("reads 10 KiB of a body and is content", async () => {
    const url = await serve((_request, response) => void response.write("x".repeat(100_000)));
    const result = await probe(url);
    expect(result.ok).toBe(true);
    expect(result.body).toHaveLength(10 * 1024);
  });

  it("follows a redirect on the same host and takes one to another for success", async () => {
    const url = await serve((request, response) => {
      if (request.url === "/same") response.writeHead(302, { location: "/broken" }).end();
      else if (request.url === "/other") response.writeHead(302, { location: "http://192.0.2.1/" }).end();
      else if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
      else response.writeHead(500).end();
    });
    expect(await probe(`${url}/same`)).toMatchObject({ ok: false, status: 500 });
    expect(await probe(`${url}/other`)).toMatchObject({ ok: true, status: 302 });
    expect(await probe(`${url}/loop`)).toMatchObject({ ok: false, error: "stopped after 10 redirects" });
  });
});

describe("the prober", () => {
  it("probes at once, then every period, and counts results in a row", async () => {
    const clock = new TestClock();
    const answers = [200, 200, 503, 503, 503];
    const url = await serve((_request, response) => void response.writeHead(answers.shift() ?? 200).end());
    const results: ProbeResult[] = [];
    await using prober = startProber({ url, periodMs: 1_000, clock, onResult: (result) => results.push(result) });
    await expect.poll(() => results.length).toBe(1);
    for (let count = 2; count <= 5; count++) {
      clock.advance(1_000);
      await expect.poll(() => results.length).toBe(count);
    }
    expect(results.map((result) => result.ok)).toEqual([true, true, false, false, false]);
    expect(prober.streak).toEqual({ ok: false, count: 3 });
    await prober.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("never lets two probes overlap, and skips the periods that one outlasts", async () => {
    const clock = new TestClock();
    const answers: (() => void)[] = [];
    const url = await serve((_request, response) => void answers.push(() => response.end()));
    const results: ProbeResult[] = [];
    const onResult = (result: ProbeResult) => results.push(result);
    await using _prober = startProber({ url, periodMs: 100, timeoutMs: 10_000, clock, onResult });
    await expect.poll(() => answers.length).toBe(1);
    clock.advance(250);
    expect(clock.pendingTimers).toBe(1); // the time-out of the probe under way, no further probe
    answers[0]!();
    await expect.poll(() => results.length).toBe(1);
    expect(clock.nextTimerMs).toBe(50);
  });

  it("breaks off the probe under way when closed", async () => {
    let asked = false;
    const url = await serve(() => {
      asked = true;
    });
    const prober = startProber({ url, clock: new TestClock(), onResult: () => expect.unreachable() });
    await expect.poll(() => asked).toBe(true);
    await prober.close();
    expect(prober.streak.count).toBe(0);
  });
});
