import { getEventListeners } from "node:events";
import type { ServerResponse } from "node:http";
import type { ServiceError } from "@grpc/grpc-js";
import { seededRandom, TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { grpcInterceptor } from "./grpc.ts";
import { createTarget } from "./index.ts";
import { paymentsClient, startGrpcServer } from "./testing/grpc-server.ts";
import { answer, startHttpServer } from "./testing/http-server.ts";
import { RecordingGate } from "./testing/recording-gate.ts";

const CALLS = 1_000;
const AT_ONCE = 50;

/** Runs all calls, some at a time. */
async function inBatches(call: () => Promise<void>): Promise<void> {
  for (let made = 0; made < CALLS; made += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, call));
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}

describe("a thousand calls aborted at random points", () => {
  it("leave no request, socket, timer or listener behind, over HTTP", async () => {
    const random = seededRandom(1);
    const clock = new TestClock();
    const breaker = new RecordingGate();
    const open = new Set<ServerResponse>();
    const big = Buffer.alloc(200_000);
    await using server = await startHttpServer((_, response) => {
      open.add(response);
      response.on("close", () => open.delete(response));
      const draw = random();
      if (draw < 0.2) answer(response, 200);
      else if (draw < 0.4) answer(response, 503);
      else if (draw < 0.5) response.writeHead(503).write("a failure without end");
      else if (draw < 0.7) response.end(big);
      else if (draw < 0.85) response.write("a body without end");
    });
    const target = createTarget({
      name: "ledger",
      mode: "enforce",
      urls: [server.url],
      clock,
      breaker,
      random: () => 1,
    });
    const outcomes = { answered: 0, aborted: 0 };
    await inBatches(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const reason = new Error("enough");
      const reads = random() < 0.7;
      const pending = target
        .fetch("/", { signal })
        .then((response) => (reads ? response.arrayBuffer() : undefined))
        .then(
          () => outcomes.answered++,
          (error: unknown) => {
            expect(error).toBe(reason);
            outcomes.aborted++;
          },
        );
      await turns(Math.floor(random() ** 2 * 200));
      controller.abort(reason);
      await pending;
      expect(getEventListeners(signal, "abort")).toHaveLength(0);
    });
    expect(outcomes.answered + outcomes.aborted).toBe(CALLS);
    // Both ends of the range were met, or the points were not random enough.
    expect(Math.min(outcomes.answered, outcomes.aborted)).toBeGreaterThan(CALLS / 20);
    // What is left are failures without end that a retry would have replaced: given up after their second.
    await clock.advanceAsync(1_000);
    await until(() => open.size === 0);
    expect(clock.pendingTimers).toBe(0);
    const asked = breaker.told.length;
    expect(asked).toBeGreaterThanOrEqual(server.requests.length);
    await target.close();
    await until(() => server.sockets.size === 0);
  });

  it("leave no call, timer or listener behind, over gRPC", async () => {
    const random = seededRandom(2);
    const clock = new TestClock(Date.now());
    const breaker = new RecordingGate();
    let open = 0;
    await using server = await startGrpcServer((call, reply) => {
      open++;
      const done = (): void => void open--;
      if (random() < 0.4) {
        reply(null, "ok");
        done();
      } else if (call.cancelled) done();
      else call.on("cancelled", done);
    });
    const target = createTarget({
      name: "payments",
      mode: "enforce",
      clock,
      breaker,
      deadlineMs: 600_000,
      attemptTimeoutMs: 600_000,
    });
    using client = paymentsClient(server.address, { interceptors: [grpcInterceptor(target)] });
    let settled = 0;
    await inBatches(async () => {
      const { promise, resolve } = Promise.withResolvers<ServiceError | null>();
      const call = client.charge({}, resolve);
      await turns(Math.floor(random() ** 2 * 100));
      call.cancel();
      await promise;
      settled++;
    });
    expect(settled).toBe(CALLS);
    await until(() => open === 0);
    expect(clock.pendingTimers).toBe(0);
    expect(breaker.told).toHaveLength(CALLS);
  });

  it("leave no timer or listener behind, whatever the function does", async () => {
    const random = seededRandom(3);
    const clock = new TestClock();
    const target = createTarget({ name: "store", mode: "enforce", clock, random: () => 1 });
    const shared = new AbortController();
    const settle = async (draw: number): Promise<string> => {
      if (draw < 0.3) return "ok";
      if (draw < 0.6) throw new Error("failed");
      return new Promise(() => {});
    };
    const calls = Array.from({ length: CALLS }, () =>
      target.run(() => settle(random()), { idempotent: true, signal: shared.signal }).catch(() => {}),
    );
    await turns(3);
    shared.abort();
    await Promise.all(calls);
    expect(getEventListeners(shared.signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });
});
