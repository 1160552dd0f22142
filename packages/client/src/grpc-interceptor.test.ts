import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { type CallOptions, Metadata, type ServiceError, status as Status } from "@grpc/grpc-js";
import { BreakerOpenError } from "@holdfast/breaker";
import { freePort, TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { grpcChannelOptions, grpcInterceptor } from "./grpc.ts";
import {
  AttemptTimeoutError,
  attemptsOf,
  createTarget,
  DeadlineExceededError,
  type Target,
  type TargetOptions,
  withDeadline,
} from "./index.ts";
import { type PaymentsClientShape, paymentsClient, refusal, startGrpcServer } from "./testing/grpc-server.ts";
import { RecordingGate } from "./testing/recording-gate.ts";

function enforced(options: Partial<TargetOptions> = {}): Target {
  return createTarget({ name: "payments", mode: "enforce", random: () => 0, ...options });
}

function clientOf(target: Target, address: string, idempotent = false): PaymentsClientShape {
  const interceptors = [grpcInterceptor(target, { idempotent: () => idempotent })];
  return paymentsClient(address, { ...grpcChannelOptions, interceptors });
}

function charge(client: PaymentsClientShape, metadata = new Metadata(), options: CallOptions = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    client.charge({ cents: 100 }, metadata, options, (error: ServiceError | null, answer: unknown) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

const failureOf = (pending: Promise<unknown>): Promise<ServiceError & { cause?: unknown }> =>
  pending.then(
    () => expect.unreachable(),
    (thrown: unknown) => thrown as ServiceError & { cause?: unknown },
  );

describe("a unary gRPC call under a target", () => {
  it("arrives with its message and metadata, and its answer comes back with both", async () => {
    await using server = await startGrpcServer((call, reply) => {
      const initial = new Metadata();
      initial.set("region", "north");
      call.sendMetadata(initial);
      const trailers = new Metadata();
      trailers.set("cost", "3");
      reply(null, { got: call.request, tenant: call.metadata.get("tenant") }, trailers);
    });
    using client = clientOf(enforced(), server.address);
    const metadata = new Metadata();
    metadata.set("tenant", "a");
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const call = client.charge({ cents: 100 }, metadata, (_error: unknown, answer: unknown) => resolve(answer));
    const [initial, [status]] = await Promise.all([once(call, "metadata"), once(call, "status")]);
    expect(await promise).toEqual({ got: { cents: 100 }, tenant: ["a"] });
    expect((initial[0] as Metadata).get("region")).toEqual(["north"]);
    expect(status).toMatchObject({ code: Status.OK });
    expect((status as { metadata: Metadata }).metadata.get("cost")).toEqual(["3"]);
    expect(call.getPeer()).toBe(server.address);
  });

  it("is made anew when the server is unavailable, and says which attempt it is", async () => {
    await using server = await startGrpcServer((call, reply, number) =>
      number < 3 ? reply(refusal(Status.UNAVAILABLE)) : reply(null, call.metadata.get("grpc-previous-rpc-attempts")),
    );
    const breaker = new RecordingGate();
    using client = clientOf(enforced({ breaker }), server.address);
    expect(await charge(client)).toEqual(["2"]);
    expect(server.calls).toHaveLength(3);
    expect(breaker.told).toEqual(["fail", "fail", "succeed"]);
  });

  it("ends with the last status, and its history, when no attempt is left", async () => {
    await using server = await startGrpcServer((_, reply, number) =>
      reply(refusal(Status.UNAVAILABLE, { number: String(number) })),
    );
    using client = clientOf(enforced(), server.address);
    const error = await failureOf(charge(client));
    expect(error).toMatchObject({ code: Status.UNAVAILABLE, details: "status 14" });
    expect(error.metadata.get("number")).toEqual(["3"]);
    expect(attemptsOf(error).map(({ detail }) => detail)).toEqual(["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
  });

  it("is tried again when nobody listens", async () => {
    using client = clientOf(enforced(), `127.0.0.1:${await freePort()}`);
    const error = await failureOf(charge(client));
    expect(error.code).toBe(Status.UNAVAILABLE);
    expect(attemptsOf(error)).toHaveLength(3);
  });

  it.each([
    ["INVALID_ARGUMENT", 1, 1, "succeed"],
    ["NOT_FOUND", 1, 1, "succeed"],
    ["RESOURCE_EXHAUSTED", 1, 1, "ignore"],
    ["INTERNAL", 1, 3, "fail"],
    ["UNKNOWN", 1, 3, "fail"],
    ["DEADLINE_EXCEEDED", 1, 3, "fail"],
    ["DATA_LOSS", 1, 1, "fail"],
    ["UNAVAILABLE", 3, 3, "fail"],
    ["CANCELLED", 1, 1, "ignore"],
  ] as const)(
    "answered with %s is sent %i time(s), %i if idempotent; the breaker hears: %s",
    async (name, times, ifIdempotent, told) => {
      await using server = await startGrpcServer((_, reply) => reply(refusal(Status[name])));
      const breaker = new RecordingGate();
      const target = enforced({ breaker });
      using plain = clientOf(target, server.address);
      expect((await failureOf(charge(plain))).code).toBe(Status[name]);
      expect(server.calls).toHaveLength(times);
      using idempotent = clientOf(target, server.address, true);
      await failureOf(charge(idempotent));
      expect(server.calls).toHaveLength(times + ifIdempotent);
      expect(new Set(breaker.told)).toEqual(new Set([told]));
    },
  );

  it("leaves streams as they are", async () => {
    await using server = await startGrpcServer(() => {});
    const breaker = new RecordingGate();
    using client = clientOf(enforced({ breaker }), server.address);
    const received: unknown[] = [];
    for await (const message of client.watch({})) received.push(message);
    expect(received).toEqual([1, 2]);
    expect(breaker.told).toEqual([]);
  });

  it("calls back where the caller was, whatever the connection was made in", async () => {
    await using server = await startGrpcServer((_, reply) => reply(null, "ok"));
    using client = clientOf(enforced(), server.address);
    const storage = new AsyncLocalStorage<string>();
    const seen = await Promise.all(
      ["a", "b", "c"].map((name) =>
        storage.run(name, () => new Promise((resolve) => client.charge({}, () => resolve(storage.getStore())))),
      ),
    );
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("lets what the callback throws be an uncaught exception, as grpc-js does", async () => {
    await using server = await startGrpcServer((_, reply) => reply(null, "ok"));
    using client = clientOf(enforced(), server.address);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    process.setUncaughtExceptionCaptureCallback(resolve);
    try {
      const thrown = new Error("a bug in the callback");
      client.charge({}, () => {
        throw thrown;
      });
      expect(await promise).toBe(thrown);
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
  });
});

describe("what a gRPC server says about retrying", () => {
  it("is followed to the millisecond", async () => {
    await using server = await startGrpcServer((_, reply, number) =>
      number === 1 ? reply(refusal(Status.RESOURCE_EXHAUSTED, { "grpc-retry-pushback-ms": "700" })) : reply(null, "ok"),
    );
    const clock = new TestClock(Date.now());
    using client = clientOf(enforced({ clock }), server.address);
    const pending = charge(client);
    while (clock.nextTimerMs !== 700) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(700);
    expect(await pending).toBe("ok");
  });

  it.each(["-1", "soon", ""])("stops all retries with %j", async (value) => {
    await using server = await startGrpcServer((_, reply) =>
      reply(refusal(Status.UNAVAILABLE, { "grpc-retry-pushback-ms": value })),
    );
    using client = clientOf(enforced(), server.address);
    expect((await failureOf(charge(client))).code).toBe(Status.UNAVAILABLE);
    expect(server.calls).toHaveLength(1);
  });
});

describe("time and gRPC", () => {
  it("tells the server how long the attempt has, or the caller's own deadline if that is sooner", async () => {
    const clock = new TestClock(Date.now());
    await using server = await startGrpcServer((call, reply) => {
      reply(null, Number(call.getDeadline()) - clock.now());
    });
    using client = clientOf(enforced({ clock, deadlineMs: 900_000, attemptTimeoutMs: 300_000 }), server.address);
    const about = (ms: number) => (left: unknown) => Math.abs((left as number) - ms) < 20_000;
    expect(await charge(client)).toSatisfy(about(300_000));
    expect(await charge(client, undefined, { deadline: clock.now() + 200_000 })).toSatisfy(about(200_000));
    expect(await charge(client, undefined, { deadline: new Date(clock.now() + 100_000) })).toSatisfy(about(100_000));
    expect(await withDeadline(50_000, () => charge(client), { clock })).toSatisfy(about(50_000));
  });

  it("ends the attempt on the server too, and the caller learns which time was up", async () => {
    const clock = new TestClock(Date.now());
    await using server = await startGrpcServer(() => {});
    const breaker = new RecordingGate();
    const target = enforced({ clock, breaker, attemptTimeoutMs: 60_000, deadlineMs: 90_000 });
    using client = clientOf(target, server.address);
    const first = failureOf(charge(client));
    while (server.calls.length < 1) await new Promise((resolve) => setImmediate(resolve));
    const cancelled = once(server.calls[0]!, "cancelled");
    clock.advance(60_000);
    expect(await first).toMatchObject({ code: Status.DEADLINE_EXCEEDED, cause: expect.any(AttemptTimeoutError) });
    await cancelled;
    const second = failureOf(withDeadline(40_000, () => charge(client), { clock }));
    while (server.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(40_000);
    const error = await second;
    expect(error).toMatchObject({ code: Status.DEADLINE_EXCEEDED, cause: expect.any(DeadlineExceededError) });
    expect(attemptsOf(error)).toHaveLength(1);
    expect(breaker.told).toEqual(["fail", "fail"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses a call whose deadline has passed, before anything is sent", async () => {
    const breaker = new RecordingGate();
    using client = clientOf(enforced({ breaker }), "127.0.0.1:1");
    const error = await failureOf(charge(client, undefined, { deadline: Date.now() - 1 }));
    expect(error).toMatchObject({ code: Status.DEADLINE_EXCEEDED, cause: expect.any(DeadlineExceededError) });
    expect(breaker.told).toEqual([]);
  });

  it("stops everywhere when the caller cancels", async () => {
    const clock = new TestClock(Date.now());
    await using server = await startGrpcServer(() => {});
    const breaker = new RecordingGate();
    using client = clientOf(enforced({ clock, breaker }), server.address);
    const { promise, resolve } = Promise.withResolvers<ServiceError>();
    const call = client.charge({}, (error: ServiceError) => resolve(error));
    while (server.calls.length < 1) await new Promise((resolve) => setImmediate(resolve));
    const cancelled = once(server.calls[0]!, "cancelled");
    call.cancel();
    expect(await promise).toMatchObject({ code: Status.CANCELLED, details: "Cancelled on client" });
    await cancelled;
    expect(breaker.told).toEqual(["ignore"]);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("the breaker's gate and gRPC", () => {
  it("refuses with UNAVAILABLE, the BreakerOpenError as its cause", async () => {
    await using server = await startGrpcServer((_, reply) => reply(null, "ok"));
    const breaker = new RecordingGate();
    breaker.admits = 0;
    using client = clientOf(enforced({ breaker }), server.address);
    const error = await failureOf(charge(client));
    expect(error).toMatchObject({ code: Status.UNAVAILABLE, cause: expect.any(BreakerOpenError) });
    expect(attemptsOf(error)).toMatchObject([{ outcome: "rejected" }]);
    expect(server.calls).toHaveLength(0);
  });

  it("lets everything through in observe mode, and is not asked when the target is off", async () => {
    await using server = await startGrpcServer((_, reply) => reply(null, "ok"));
    const breaker = new RecordingGate();
    breaker.admits = 0;
    const target = enforced({ breaker, mode: "observe" });
    using client = clientOf(target, server.address);
    expect(await charge(client)).toBe("ok");
    target.reconfigure({ mode: "off" });
    expect(await charge(client)).toBe("ok");
    expect(server.calls.map((call) => call.getDeadline())).toEqual([
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
  });
});

describe("grpc-js's own retries", () => {
  it("are off: a service config that asks for them multiplies nothing", async () => {
    await using server = await startGrpcServer((_, reply) => reply(refusal(Status.UNAVAILABLE)));
    const retryPolicy = {
      maxAttempts: 5,
      initialBackoff: "0.01s",
      maxBackoff: "0.01s",
      backoffMultiplier: 1,
      retryableStatusCodes: ["UNAVAILABLE"],
    };
    using client = paymentsClient(server.address, {
      ...grpcChannelOptions,
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [], methodConfig: [{ name: [{}], retryPolicy }] }),
      interceptors: [grpcInterceptor(enforced())],
    });
    await failureOf(charge(client));
    expect(server.calls).toHaveLength(3);
  });
});
