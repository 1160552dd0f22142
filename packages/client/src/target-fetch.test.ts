import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { silentLogger } from "@holdfast/core";
import { freePort, TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  AttemptTimeoutError,
  attemptsOf,
  createTarget,
  DeadlineExceededError,
  type Target,
  type TargetOptions,
  TransportError,
  withDeadline,
} from "./index.ts";
import { answer, bodyOf, startHttpServer } from "./testing/http-server.ts";
import { RecordingGate } from "./testing/recording-gate.ts";

/** A target that enforces and does not wait between attempts. */
function quickTarget(options: Partial<TargetOptions> & { urls?: string[] }): Target {
  return createTarget({ name: "ledger", mode: "enforce", random: () => 0, ...options });
}

describe("target.fetch", () => {
  it("is fetch: method, path, headers and body arrive, and the answer comes back", async () => {
    await using server = await startHttpServer(async (request, response) => {
      const body = await bodyOf(request);
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.end(JSON.stringify({ method: request.method, url: request.url, key: request.headers["x-key"], body }));
    });
    await using target = quickTarget({ urls: [`${server.url}/api`] });
    const response = await target.fetch("/entries?x=1", { method: "POST", json: { a: 1 }, headers: { "X-Key": "k" } });
    expect(response.url).toBe(`${server.url}/api/entries?x=1`);
    expect(response.redirected).toBe(false);
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(await response.json()).toEqual({ method: "POST", url: "/api/entries?x=1", key: "k", body: '{"a":1}' });
  });

  it("tries again until an answer is no failure, and tells what came before", async () => {
    await using server = await startHttpServer((_, response, number) => answer(response, number < 3 ? 503 : 200));
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: [server.url], breaker });
    const response = await target.fetch("/");
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("status 200");
    expect(attemptsOf(response).map(({ attempt, outcome, detail }) => [attempt, outcome, detail])).toEqual([
      [1, "failure", "503"],
      [2, "failure", "503"],
      [3, "success", "200"],
    ]);
    expect(breaker.told).toEqual(["fail", "fail", "succeed"]);
  });

  it("returns the last 503 with its body when no attempt is left", async () => {
    await using server = await startHttpServer((_, response) => answer(response, 503));
    await using target = quickTarget({ urls: [server.url] });
    const response = await target.fetch("/");
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("status 503");
    expect(server.requests).toHaveLength(3);
  });

  it("reads short failures to their end, so that the next attempt finds the connection", async () => {
    await using server = await startHttpServer((_, response, number) => answer(response, number < 3 ? 503 : 200));
    await using target = quickTarget({ urls: [server.url], random: () => 1, retry: { baseDelayMs: 5 } });
    await (await target.fetch("/")).text();
    expect(new Set(server.requests.map((request) => request.socket.remotePort)).size).toBe(1);
  });

  it.each([
    ["POST", {}, 1],
    ["PATCH", {}, 1],
    ["POST", { "idempotency-key": "1" }, 3],
    ["PUT", {}, 3],
  ])("sends a failing %s with %j %i time(s)", async (method, headers, times) => {
    await using server = await startHttpServer((_, response) => answer(response, 503));
    await using target = quickTarget({ urls: [server.url] });
    expect((await target.fetch("/", { method, headers, body: "x" })).status).toBe(503);
    expect(server.requests).toHaveLength(times);
  });

  it.each([
    [400, 1, "succeed"],
    [404, 1, "succeed"],
    [408, 3, "succeed"],
    [429, 3, "ignore"],
    [500, 3, "fail"],
    [501, 1, "fail"],
    [502, 3, "fail"],
    [504, 3, "fail"],
  ])("sends a GET that is answered with %i %i time(s) and tells the breaker: %s", async (status, times, told) => {
    await using server = await startHttpServer((_, response) => answer(response, status));
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: [server.url], breaker });
    expect((await target.fetch("/")).status).toBe(status);
    expect(server.requests).toHaveLength(times);
    expect(breaker.told).toEqual(Array.from({ length: times }, () => told));
  });

  it("sends the same body again, a form too, but never a stream", async () => {
    const bodies: string[] = [];
    await using server = await startHttpServer(async (request, response) => {
      bodies.push(await bodyOf(request));
      answer(response, 503);
    });
    await using target = quickTarget({ urls: [server.url] });
    await target.fetch("/", { method: "PUT", body: new TextEncoder().encode("bytes") });
    expect(bodies.splice(0)).toEqual(["bytes", "bytes", "bytes"]);
    const form = new FormData();
    form.set("field", "value");
    form.set("file", new Blob(["content"]), "name.txt");
    await target.fetch("/", { method: "PUT", body: form });
    expect(bodies).toHaveLength(3);
    for (const body of bodies.splice(0))
      expect(body).toMatch(/name="field"\r\n\r\nvalue.*filename="name.txt".*content/s);
    const stream = new Blob(["streamed"]).stream();
    expect((await target.fetch("/", { method: "PUT", body: stream })).status).toBe(503);
    expect(bodies).toEqual(["streamed"]);
  });

  it("takes its urls in turn, attempt by attempt", async () => {
    await using sick = await startHttpServer((_, response) => answer(response, 503));
    await using well = await startHttpServer((_, response) => answer(response, 200));
    await using target = quickTarget({ urls: [sick.url, well.url] });
    for (let call = 0; call < 4; call++) expect((await target.fetch("/")).status).toBe(200);
    expect(sick.requests.length + well.requests.length).toBe(well.requests.length * 2);
  });

  it("turns a refused connection into a TransportError, having tried again: nothing was sent, also with POST", async () => {
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: [`http://127.0.0.1:${await freePort()}`], breaker });
    const error = await target.fetch("/", { method: "POST", body: "x" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TransportError);
    expect(error).toMatchObject({ code: "TRANSPORT_FAILED", reason: "ECONNREFUSED", target: "ledger" });
    expect(attemptsOf(error).map(({ detail }) => detail)).toEqual(["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"]);
    expect(breaker.told).toEqual(["fail", "fail", "fail"]);
  });

  it("does not repeat a POST whose connection broke: nobody knows what the server did", async () => {
    await using server = await startHttpServer((request) => void request.socket.destroy());
    await using target = quickTarget({ urls: [server.url] });
    await expect(target.fetch("/", { method: "POST", body: "x" })).rejects.toBeInstanceOf(TransportError);
    expect(server.requests).toHaveLength(1);
    await expect(target.fetch("/")).rejects.toBeInstanceOf(TransportError);
    expect(server.requests).toHaveLength(4);
  });

  it("passes on a request that cannot be made as the TypeError it is, before anybody is told", async () => {
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: ["http://127.0.0.1:1"], breaker });
    await expect(target.fetch("/", { body: "a GET has none" })).rejects.toBeInstanceOf(TypeError);
    await expect(target.fetch("/", { headers: { "not a name": "x" } })).rejects.toBeInstanceOf(TypeError);
    await expect(target.fetch("http://evil/")).rejects.toBeInstanceOf(TypeError);
    expect(breaker.told).toEqual(["ignore"]);
  });

  it("takes the fetch it is given, Node's own too", async () => {
    await using server = await startHttpServer((_, response, number) => answer(response, number < 2 ? 503 : 200));
    await using target = quickTarget({ urls: [server.url], fetch: globalThis.fetch });
    const response = await target.fetch("/");
    expect(response).toBeInstanceOf(Response);
    expect(await response.text()).toBe("status 200");
    expect(response.url).toBe(`${server.url}/`);
  });

  it("has done with an answer that has no body at once", async () => {
    await using server = await startHttpServer((_, response) => answer(response, 204));
    const clock = new TestClock();
    await using target = quickTarget({ urls: [server.url], clock });
    expect((await target.fetch("/")).body).toBeNull();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("waiting between attempts", () => {
  it("waits as long as Retry-After says, and at most five seconds more than it would have", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response, number) => {
      if (number === 1) answer(response, 503, { "retry-after": "2" });
      else if (number === 2) answer(response, 429, { "retry-after": "3600" });
      else answer(response, 200);
    });
    await using target = quickTarget({ urls: [server.url], clock, deadlineMs: 60_000, attemptTimeoutMs: 30_000 });
    const pending = target.fetch("/");
    await passed(clock, 2_000);
    await passed(clock, 5_000);
    const response = await pending;
    expect(attemptsOf(response).map(({ waitedMs }) => waitedMs)).toEqual([0, 2_000, 5_000]);
  });

  it("gives back what it has when the wait would outlast the deadline", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 503, { "retry-after": "4" }));
    await using target = quickTarget({ urls: [server.url], clock, deadlineMs: 3_000 });
    const response = await target.fetch("/");
    expect([response.status, await response.text()]).toEqual([503, "status 503"]);
    expect(server.requests).toHaveLength(1);
  });

  it("does not wait when the budget is spent, and gives back what it has", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 503));
    const retry = { budgetRatio: 0.5, minRetriesPerSecond: 0 };
    const warned: unknown[] = [];
    const logger = { ...silentLogger, warn: (...line: unknown[]) => void warned.push(line) };
    await using target = quickTarget({ urls: [server.url], clock, retry, logger, random: () => 1 });
    expect((await target.fetch("/")).status).toBe(503);
    expect(server.requests).toHaveLength(1);
    expect(warned).toEqual([[{ target: "ledger", after: "503" }, "the retry budget is spent"]]);
    const pending = target.fetch("/");
    await passed(clock, 50);
    expect((await pending).status).toBe(503);
    expect(server.requests).toHaveLength(3);
  });

  it("ends at once when the caller gives up, and never sends again", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 503));
    await using target = quickTarget({ urls: [server.url], clock, random: () => 1 });
    const controller = new AbortController();
    const reason = new Error("the user left");
    const pending = target.fetch("/", { signal: controller.signal });
    pending.catch(() => {});
    await waitsFor(clock, 50);
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    expect(server.requests).toHaveLength(1);
    // The failure that nobody wants any more is read to its end.
    await waitsFor(clock, undefined);
  });

  it("gives back what it has when the target closes", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 503));
    const target = quickTarget({ urls: [server.url], clock, random: () => 1 });
    const pending = target.fetch("/");
    await waitsFor(clock, 50);
    const closed = target.close();
    expect((await pending).status).toBe(503);
    await closed;
    await expect(target.fetch("/")).rejects.toMatchObject({ code: "TARGET_CLOSED" });
  });
});

describe("time", () => {
  it("cuts an attempt off and closes its socket, and a safe request is sent again", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response, number) => {
      if (number > 1) answer(response, 200);
    });
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: [server.url], clock, attemptTimeoutMs: 500, breaker });
    const pending = target.fetch("/");
    await received(server, 1);
    const hungUp = once(server.requests[0]!.socket, "close");
    clock.advance(500);
    await hungUp;
    await passed(clock, 0);
    const response = await pending;
    expect(response.status).toBe(200);
    expect(attemptsOf(response).map(({ outcome, durationMs }) => [outcome, durationMs])).toEqual([
      ["timeout", 500],
      ["success", 0],
    ]);
    expect(breaker.told).toEqual(["fail", "succeed"]);
  });

  it("throws an AttemptTimeoutError when what timed out must not be repeated", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer(() => {});
    await using target = quickTarget({ urls: [server.url], clock, attemptTimeoutMs: 500 });
    const pending = target.fetch("/", { method: "POST", body: "x" });
    pending.catch(() => {});
    await received(server, 1);
    clock.advance(500);
    const error = await pending.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AttemptTimeoutError);
    expect(error).toMatchObject({ timeoutMs: 500, target: "ledger" });
    expect(attemptsOf(error)).toHaveLength(1);
    expect(server.requests).toHaveLength(1);
  });

  it("ends all attempts at the deadline", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer(() => {});
    const settings = { deadlineMs: 1_200, attemptTimeoutMs: 500, retry: { maxAttempts: 9 } };
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: [server.url], clock, breaker, ...settings });
    const pending = target.fetch("/");
    pending.catch(() => {});
    for (const [number, limitMs] of [500, 500, 200].entries()) {
      await received(server, number + 1);
      clock.advance(limitMs);
      await passed(clock, 0, number < 2);
    }
    const error = await pending.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(error).toMatchObject({ deadlineMs: 1_200, cause: expect.any(AttemptTimeoutError) });
    expect(attemptsOf(error).map(({ durationMs }) => durationMs)).toEqual([500, 500, 200]);
    // The last one had less than half of its time: it says nothing about the target.
    expect(breaker.told).toEqual(["fail", "fail", "ignore"]);
  });

  it("covers the body: the reader is told, and the socket is closed", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => void response.write("the beginning"));
    await using target = quickTarget({ urls: [server.url], clock, deadlineMs: 1_000, attemptTimeoutMs: 300 });
    const response = await target.fetch("/");
    const text = response.text();
    text.catch(() => {});
    clock.advance(900);
    const hungUp = once(server.requests[0]!.socket, "close");
    clock.advance(100);
    const error = await text.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(attemptsOf(error)).toHaveLength(1);
    await hungUp;
    expect(clock.pendingTimers).toBe(0);
  });

  it("ends the body when the caller aborts, with the caller's reason", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => void response.write("the beginning"));
    await using target = quickTarget({ urls: [server.url], clock });
    const controller = new AbortController();
    const response = await target.fetch("/", { signal: controller.signal });
    const hungUp = once(server.requests[0]!.socket, "close");
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(response.text()).rejects.toBe(reason);
    await hungUp;
    expect(clock.pendingTimers).toBe(0);
  });

  it("says so when the body breaks", async () => {
    await using server = await startHttpServer((request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("the beginning", () => request.socket.destroy());
    });
    await using target = quickTarget({ urls: [server.url] });
    const response = await target.fetch("/");
    await expect(response.text()).rejects.toBeInstanceOf(TransportError);
  });

  it("is not needed to free the connection of a body that was dropped unread", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    await using server = await startHttpServer((_, response) => void response.end(Buffer.alloc(10_000_000)));
    await using target = createTarget({ name: "ledger", mode: "observe", urls: [server.url] });
    await (async () => expect((await target.fetch("/")).status).toBe(200))();
    while (server.sockets.size > 0) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("sends what is left of it along", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 200));
    await using target = quickTarget({ urls: [server.url], clock, deadlineMs: 3_000, attemptTimeoutMs: 800 });
    await target.fetch("/");
    await withDeadline(500, () => target.fetch("/"), { clock });
    const sent = server.requests.map(({ headers }) => [
      headers["x-holdfast-deadline-ms"],
      headers["x-envoy-expected-rq-timeout-ms"],
    ]);
    expect(sent).toEqual([
      ["3000", "800"],
      ["500", "500"],
    ]);
  });

  it("refuses a call whose inherited deadline has passed, before anything is sent", async () => {
    const clock = new TestClock();
    const breaker = new RecordingGate();
    await using target = quickTarget({ urls: ["http://127.0.0.1:1"], clock, breaker });
    const error = await withDeadline(0, () => target.fetch("/"), { clock }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(attemptsOf(error)).toEqual([]);
    expect(breaker.told).toEqual([]);
  });

  it("does not start what the caller has given up already", async () => {
    await using target = quickTarget({ urls: ["http://127.0.0.1:1"] });
    const reason = new Error("never mind");
    await expect(target.fetch("/", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

/** Waits for real I/O until the clock's next timer is due in `ms`, or there is none. */
async function waitsFor(clock: TestClock, ms: number | undefined): Promise<void> {
  while (clock.nextTimerMs !== ms) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets exactly the wait of `ms` pass, once the call has begun it. */
async function passed(clock: TestClock, ms: number, expected = true): Promise<void> {
  if (!expected) return;
  await waitsFor(clock, ms);
  clock.advance(ms);
}

async function received(server: { requests: readonly unknown[] }, count: number): Promise<void> {
  while (server.requests.length < count) await new Promise((resolve) => setImmediate(resolve));
}
