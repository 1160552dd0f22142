import { Client, credentials, Server, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { type StorySpan, silentLogger } from "@holdfast/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serveGrpc } from "./grpc.ts";
import { createLifecycle, type Lifecycle } from "./index.ts";

const bytes = (value: Buffer): Buffer => value;
const method = {
  path: "/test.Echo/Echo",
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
} as const;

let lifecycle: Lifecycle;
let stories: StorySpan[];
let client: Client | undefined;

async function start(drainMs: number): Promise<void> {
  stories = [];
  lifecycle = await createLifecycle({
    service: "grpc",
    probe: false,
    stateDir: false,
    signals: false,
    lameDuckMs: 0,
    drainMs,
    logger: silentLogger,
    sink: { exportSpans: async (spans) => void stories.push(...spans) },
  });
}

function echo(handler: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => void): Server {
  const server = new Server();
  server.addService({ Echo: method }, { Echo: handler });
  return server;
}

function call(port: number): Promise<string> {
  client ??= new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client!.makeUnaryRequest(method.path, bytes, bytes, Buffer.from("hello"), (error, value) =>
      error ? reject(error) : resolve(String(value)),
    );
  });
}

const drainOutcome = () => stories.find((span) => span.name === "lifecycle.drain")!.attributes!["lifecycle.outcome"];

beforeEach(() => {
  client = undefined;
});

afterEach(async () => {
  client?.close();
  await lifecycle.close();
});

describe("a gRPC server", () => {
  it("finishes the calls in flight and takes no more", async () => {
    await start(5_000);
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<() => void>();
    const server = echo((request, done) => arrive(() => done(null, request.request)));
    const { port } = await serveGrpc(lifecycle, server, { address: "127.0.0.1:0" });
    expect(lifecycle.state).toBe("ready");
    const inFlight = call(port);
    const answer = await arrived;
    lifecycle.onShutdown("drain", "answer", answer);
    await lifecycle.shutdown("test");
    expect(await inFlight).toBe("hello");
    expect(drainOutcome()).toBe("ok");
    await expect(call(port)).rejects.toMatchObject({ code: 14 });
  });

  it("is ended by force when a call outlasts the budget", async () => {
    await start(100);
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    const { port } = await serveGrpc(
      lifecycle,
      echo(() => arrive()),
      { address: "127.0.0.1:0", ready: false },
    );
    expect(lifecycle.state).toBe("starting");
    const inFlight = expect(call(port)).rejects.toMatchObject({ code: expect.any(Number) });
    await arrived;
    await lifecycle.shutdown("test");
    await inFlight;
    expect(drainOutcome()).toBe("timeout");
  });

  it("says which address is taken", async () => {
    await start(100);
    const { port } = await serveGrpc(
      lifecycle,
      echo(() => {}),
      { address: "127.0.0.1:0" },
    );
    await expect(
      serveGrpc(
        lifecycle,
        echo(() => {}),
        { address: `127.0.0.1:${port}` },
      ),
    ).rejects.toMatchObject({
      code: "GRPC_BIND_FAILED",
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  });
});
