import { once } from "node:events";
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { type IssueOptions, ThrowawayAuthority } from "@holdfast/testkit";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { grpcClientCredentials, listenGrpc, peerIdOfCall } from "./grpc.ts";
import { type Authorizer, authorizeAny, authorizeId, authorizeMemberOf } from "./index.ts";
import { trustDomain, type Workload, workload } from "./testing/workload.ts";

let authority: ThrowawayAuthority;
let deep: ThrowawayAuthority;
let other: ThrowawayAuthority;
beforeAll(async () => {
  authority = await ThrowawayAuthority.create({ trustDomain });
  deep = await ThrowawayAuthority.create({ trustDomain, intermediates: 1 });
  other = await ThrowawayAuthority.create({ trustDomain: "other.test" });
});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(path: string, by = authority, issue: IssueOptions = {}): Promise<Workload> {
  const started = await workload(by, path, { issue });
  cleanups.push(() => started[Symbol.asyncDispose]());
  return started;
}

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};
const service: ServiceDefinition = {
  whoAmI: { path: "/test.Echo/WhoAmI", requestStream: false, responseStream: false, ...text },
  echo: { path: "/test.Echo/Echo", requestStream: true, responseStream: true, ...text },
};

interface Running {
  server: Server;
  port: number;
  handled: number;
}

async function serve(source: Workload["source"], authorize: Authorizer = authorizeAny): Promise<Running> {
  const running: Running = { server: new Server(), port: 0, handled: 0 };
  const whoAmI: handleUnaryCall<string, string> = (call, callback) => {
    running.handled++;
    callback(null, peerIdOfCall(call)?.uri ?? "nobody");
  };
  const echo: handleBidiStreamingCall<string, string> = (call) => {
    call.on("data", (message: string) => call.write(message));
    call.on("end", () => call.end());
  };
  running.server.addService(service, { whoAmI, echo });
  const listener = await listenGrpc(running.server, { source, authorize, address: "127.0.0.1:0" });
  running.port = listener.port;
  cleanups.push(async () => {
    await listener.close();
    running.server.forceShutdown();
  });
  return running;
}

function clientOf(port: number, channel: ChannelCredentials): Client {
  const client = new Client(`127.0.0.1:${port}`, channel, {
    // Without a pool of its own a test would be handed a connection that another one has made.
    "grpc.use_local_subchannel_pool": 1,
  });
  cleanups.push(() => client.close());
  return client;
}

function whoAmI(client: Client): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = service.whoAmI!;
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      "?",
      new Metadata(),
      { deadline },
      (error, id) => (error ? reject(error) : resolve(id as string)),
    );
  });
}

function openStream(client: Client): ClientDuplexStream<string, string> {
  const { path, requestSerialize, responseDeserialize } = service.echo!;
  const stream: ClientDuplexStream<string, string> = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
  );
  // A test that fails closes the client with the stream still open; the failure itself is what should be read.
  stream.on("error", () => {});
  return stream;
}

async function sendAndReceive(stream: ClientDuplexStream<string, string>, message: string): Promise<string> {
  const answer = once(stream, "data");
  stream.write(message);
  return ((await answer) as [string])[0];
}

const checkout = authorizeId("spiffe://demo.holdfast.test/checkout");

describe("mutual TLS over gRPC", () => {
  it("lets an authorized client in and tells the handler who it is", async () => {
    const server = await serve((await start("/payments")).source, checkout);
    const { source } = await start("/checkout");
    const authorize = authorizeId("spiffe://demo.holdfast.test/payments");
    const client = clientOf(server.port, grpcClientCredentials({ source, authorize }));
    expect(await whoAmI(client)).toBe("spiffe://demo.holdfast.test/checkout");
  });

  it("takes certificates under an intermediate authority on both sides", async () => {
    const server = await serve((await start("/payments", deep)).source, checkout);
    const { source } = await start("/checkout", deep);
    const client = clientOf(server.port, grpcClientCredentials({ source, authorize: authorizeMemberOf(trustDomain) }));
    expect(await whoAmI(client)).toBe("spiffe://demo.holdfast.test/checkout");
  });

  const refused: [string, IssueOptions & { id?: string; by?: () => ThrowawayAuthority }][] = [
    ["of another identity", { id: "/intruder" }],
    ["of a trust domain without a bundle", { id: "spiffe://other.test/checkout", by: () => other }],
    ["that claims our trust domain, signed by another's authority", { by: () => other }],
    ["whose SVID has expired", { ttlMs: -1_000 }],
    ["whose SVID is that of an authority", { ca: true }],
    ["with two URI names", { uris: ["spiffe://demo.holdfast.test/checkout", "spiffe://demo.holdfast.test/b"] }],
  ];
  it.each(refused)("refuses a client %s before any handler runs", async (_what, options) => {
    const server = await serve((await start("/payments")).source, checkout);
    const { id = "/checkout", by = () => authority, ...issue } = options;
    const { certPem, keyPem } = await by().issue(id.startsWith("/") ? `spiffe://${trustDomain}${id}` : id, issue);
    const roots = Buffer.from(authority.bundlePem);
    const raw = credentials.createSsl(roots, Buffer.from(keyPem), Buffer.from(certPem), {
      checkServerIdentity: () => undefined,
    });
    await expect(whoAmI(clientOf(server.port, raw))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(server.handled).toBe(0);
  });

  it("refuses a client without a certificate, and one without TLS", async () => {
    const server = await serve((await start("/payments")).source);
    const roots = Buffer.from(authority.bundlePem);
    const tls = credentials.createSsl(roots, null, null, { checkServerIdentity: () => undefined });
    for (const channel of [tls, credentials.createInsecure()]) {
      await expect(whoAmI(clientOf(server.port, channel))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    }
    expect(server.handled).toBe(0);
  });

  it("refuses a server of another identity, with the reason", async () => {
    const server = await serve((await start("/intruder")).source);
    const { source } = await start("/checkout");
    const authorize = authorizeId("spiffe://demo.holdfast.test/payments");
    const client = clientOf(server.port, grpcClientCredentials({ source, authorize }));
    await expect(whoAmI(client)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      message: expect.stringContaining("spiffe://demo.holdfast.test/intruder is not among those"),
    });
    expect(server.handled).toBe(0);
  });

  it("keeps a stream open over rotations of both sides, and new connections use the new SVIDs", async () => {
    const payments = await start("/payments");
    const checkoutSide = await start("/checkout");
    const server = await serve(payments.source);
    const channel = grpcClientCredentials({ source: checkoutSide.source, authorize: authorizeAny });
    const stream = openStream(clientOf(server.port, channel));
    expect(await sendAndReceive(stream, "before")).toBe("before");
    for (let round = 0; round < 3; round++) {
      await Promise.all([payments.rotate(), checkoutSide.rotate()]);
      expect(await sendAndReceive(stream, `round ${round}`)).toBe(`round ${round}`);
      expect(await whoAmI(clientOf(server.port, channel))).toBe("spiffe://demo.holdfast.test/checkout");
    }
    const ended = once(stream, "end");
    stream.end();
    await ended;
  });

  it("trusts a successor of the authority as soon as it is in the bundle, and the old one no longer", async () => {
    const payments = await start("/payments");
    const checkoutSide = await start("/checkout");
    const server = await serve(payments.source);
    const successor = await ThrowawayAuthority.create({ trustDomain });
    const next = await successor.writeSvid(payments.directory, "/payments");
    await expect.poll(() => payments.source.svid.certPem).toBe(next.certPem);
    const channel = grpcClientCredentials({ source: checkoutSide.source, authorize: authorizeAny });
    await expect(whoAmI(clientOf(server.port, channel))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    const followed = await successor.writeSvid(checkoutSide.directory, "/checkout");
    await expect.poll(() => checkoutSide.source.svid.certPem).toBe(followed.certPem);
    await expect
      .poll(() => checkoutSide.source.authorities(trustDomain)[0]!.toString().trim())
      .toBe(successor.bundlePem.trim());
    expect(await whoAmI(clientOf(server.port, channel))).toBe("spiffe://demo.holdfast.test/checkout");
  });

  it("shuts down in order: calls end, then tryShutdown() is done", async () => {
    const { source } = await start("/payments");
    const server = await serve(source);
    const channel = grpcClientCredentials({ source, authorize: authorizeAny });
    const stream = openStream(clientOf(server.port, channel));
    await sendAndReceive(stream, "open");
    const done = new Promise<Error | undefined>((resolve) => server.server.tryShutdown(resolve));
    expect(await sendAndReceive(stream, "still")).toBe("still");
    stream.end();
    expect(await done).toBeUndefined();
  });

  it("says which address it cannot listen on", async () => {
    const { source } = await start("/payments");
    const { port } = await serve(source);
    const again = new Server();
    const listen = (address: string) => listenGrpc(again, { source, authorize: authorizeAny, address });
    await expect(listen(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: "EADDRINUSE" });
    await expect(listen("payments")).rejects.toThrow("address must be host:port");
  });
});
