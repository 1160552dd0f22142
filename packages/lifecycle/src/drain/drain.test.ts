import { once } from "node:events";
import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2,
  createSecureServer,
} from "node:http2";
import { createServer as createHttps, get as getSecure, Agent as SecureAgent } from "node:https";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type StorySpan, silentLogger } from "@holdfast/core";
import { ThrowawayAuthority } from "@holdfast/testkit";
import Fastify from "fastify";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLifecycle, type Lifecycle, type ServableApp } from "../index.ts";

let tls: { cert: string; key: string };
let lifecycle: Lifecycle;
let stories: StorySpan[];
let held: { end(text: string): void }[];
/** Resolves when the next request to /hold has arrived. */
let arrived: Promise<void>;
let arrive: () => void;

beforeAll(async () => {
  const authority = await ThrowawayAuthority.create({ trustDomain: "drain.test" });
  const svid = await authority.issue("spiffe://drain.test/server");
  tls = { cert: svid.certPem, key: svid.keyPem };
});

beforeEach(async () => {
  stories = [];
  held = [];
  ({ promise: arrived, resolve: arrive } = Promise.withResolvers<void>());
  lifecycle = await createLifecycle({
    service: "drained",
    probe: false,
    stateDir: false,
    signals: false,
    lameDuckMs: 0,
    graceMs: 10_000,
    drainMs: 5_000,
    logger: silentLogger,
    sink: { exportSpans: async (spans) => void stories.push(...spans) },
  });
});

afterEach(async () => {
  await lifecycle.close();
});

const listen = (app: ServableApp) => lifecycle.serve(app, { port: 0, host: "127.0.0.1" });
const drainOutcome = () => stories.find((span) => span.name === "lifecycle.drain")!.attributes!["lifecycle.outcome"];

function handler(request: { url?: string | undefined }, response: { end(text: string): void }): void {
  if (request.url !== "/hold") {
    response.end("hello");
    return;
  }
  held.push(response);
  arrive();
}

function bodyOf(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let body = "";
    response.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    response.on("error", reject).on("end", () => resolve(body));
  });
}

function releaseInDrain(): void {
  lifecycle.onShutdown("drain", "release", () => {
    for (const response of held) response.end("held");
  });
}

const secureOptions = { rejectUnauthorized: false };
const apps: Record<string, () => { app: ServableApp; secure: boolean }> = {
  "node:http": () => ({ app: createServer(handler), secure: false }),
  "node:https": () => ({ app: createHttps(tls, handler), secure: true }),
  "a request listener": () => ({
    app: (request: IncomingMessage, response: ServerResponse) => handler(request, response),
    secure: false,
  }),
  Fastify: () => {
    const app = Fastify();
    app.get("/", () => "hello");
    app.get("/hold", (_request, reply) => {
      reply.hijack();
      handler({ url: "/hold" }, reply.raw);
    });
    app.addHook("onClose", async () => {
      stories.push({ ...stories[0]!, name: "fastify closed" });
    });
    return { app, secure: false };
  },
  "HTTP/1.1 on a server of node:http2": () => ({
    app: createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => handler(request, response)),
    secure: true,
  }),
};

describe.each(Object.entries(apps))("draining %s", (name, make) => {
  it("answers what is in flight, frees idle and unused connections, and stops listening", async () => {
    const { app, secure } = make();
    const { port } = await listen(app);
    const agent = secure ? new SecureAgent({ keepAlive: true, ...secureOptions }) : new Agent({ keepAlive: true });
    const ask = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const send = secure ? getSecure : get;
        send({ host: "127.0.0.1", port, path, agent, ...secureOptions }, (response) => resolve(bodyOf(response))).on(
          "error",
          reject,
        );
      });
    expect(await Promise.all([ask("/"), ask("/")])).toEqual(["hello", "hello"]);
    const waiting = ask("/hold");
    await arrived;
    const unused = secure ? connectTls({ host: "127.0.0.1", port, ...secureOptions }) : connect(port, "127.0.0.1");
    unused.on("error", () => {}).resume();
    await once(unused, secure ? "secureConnect" : "connect");

    releaseInDrain();
    const unusedClosed = closeOf(unused);
    await lifecycle.shutdown("test");
    expect(await waiting).toBe("held");
    await unusedClosed;
    expect(drainOutcome()).toBe("ok");
    await expect(ask("/")).rejects.toThrow(/ECONNREFUSED|socket hang up|ECONNRESET/);
    if (name === "Fastify") expect(stories.map((span) => span.name)).toContain("fastify closed");
    agent.destroy();
  });
});

describe("draining", () => {
  it("cuts upgraded connections and unfinished handshakes when the budget is spent", async () => {
    await lifecycle.close();
    lifecycle = await createLifecycle({
      service: "drained",
      probe: false,
      stateDir: false,
      signals: false,
      lameDuckMs: 0,
      drainMs: 200,
      logger: silentLogger,
      sink: { exportSpans: async (spans) => void stories.push(...spans) },
    });
    const server = createServer(handler);
    server.on("upgrade", (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    });
    const { port } = await listen(server);
    const { port: securePort } = await listen(createHttps(tls, handler));
    const upgraded = connect(port, "127.0.0.1");
    upgraded.on("error", () => {});
    upgraded.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    await once(upgraded, "data");
    const mute = connect(securePort, "127.0.0.1");
    mute.on("error", () => {}).resume();
    await once(mute, "connect");
    const closed = Promise.all([closeOf(upgraded), closeOf(mute)]);
    await lifecycle.shutdown("test");
    await closed;
    expect(drainOutcome()).toBe("timeout");
  });

  it.each([
    ["in clear", false],
    ["over TLS", true],
  ])("HTTP/2 %s finishes its streams, also those opened while the notice is on its way", async (_what, secure) => {
    const server = secure
      ? createSecureServer(tls, (request, response) => handler(request, response))
      : createHttp2((request, response) => handler(request, response));
    const { port } = await listen(server);
    const client = connectHttp2(`${secure ? "https" : "http"}://127.0.0.1:${port}`, secureOptions);
    await once(client, "connect");
    const idle = connectHttp2(`${secure ? "https" : "http"}://127.0.0.1:${port}`, secureOptions);
    await once(idle, "connect");
    const waiting = ask(client, "/hold");
    await arrived;
    const goneAway = once(client, "goaway");
    // Its head is on the wire, and crosses the notice there.
    const late = ask(client, "/");
    await new Promise((sent) => setImmediate(sent));
    releaseInDrain();
    const closed = Promise.all([once(client, "close"), once(idle, "close")]);
    const answers = Promise.all([waiting, late]);
    await lifecycle.shutdown("test");
    expect(await answers).toEqual(["held", "hello"]);
    expect((await goneAway)[0]).toBe(0);
    await closed;
    expect(drainOutcome()).toBe("ok");
  });

  it("refuses a taken port with an error that names port and option", async () => {
    const { port } = await listen(createServer(handler));
    for (const app of [createServer(handler), Fastify()]) {
      const error = await lifecycle.serve(app, { port, host: "127.0.0.1" }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: "PORT_TAKEN",
        message: `the port ${port} on 127.0.0.1 is taken: choose another one with the option port`,
      });
    }
  });

  it("refuses what is no server", async () => {
    await expect(lifecycle.serve({} as ServableApp, { port: 0 })).rejects.toThrow(TypeError);
  });
});

/** Its end, a reset included. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

function ask(client: ClientHttp2Session, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let body = "";
    const stream = client.request({ ":path": path });
    stream.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    stream.on("error", reject).on("end", () => resolve(body));
  });
}
