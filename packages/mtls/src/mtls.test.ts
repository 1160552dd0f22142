import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer as createTls, type TLSSocket } from "node:tls";
import { type IssueOptions, ThrowawayAuthority } from "@holdfast/testkit";
import { Agent, fetch } from "undici";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type Authorizer,
  authorizeAny,
  authorizeId,
  authorizeMemberOf,
  createHttpsServer,
  MtlsAgent,
  type MtlsOptions,
  peerIdOf,
  undiciConnector,
} from "./index.ts";
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

async function start(path: string, by = authority, federatedBundles: Record<string, string> = {}): Promise<Workload> {
  const started = await workload(by, path, { federatedBundles });
  cleanups.push(() => started[Symbol.asyncDispose]());
  return started;
}

interface Answering {
  url: string;
  port: number;
  /** How many requests reached the handler. */
  handled: number;
}

/** A server that answers with the peer's ID. */
async function answering(options: MtlsOptions): Promise<Answering> {
  const answer: Answering = { url: "", port: 0, handled: 0 };
  const server: Server = createHttpsServer(options, (request, response) => {
    answer.handled++;
    response.end(peerIdOf(request.socket)?.uri);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close().closeAllConnections());
  answer.port = (server.address() as AddressInfo).port;
  answer.url = `https://127.0.0.1:${answer.port}/`;
  return answer;
}

/** One request with node:https. */
async function ask(url: string, agent: MtlsAgent): Promise<string> {
  const request = get(url, { agent });
  const [response] = (await once(request, "response")) as [AsyncIterable<Buffer>];
  let body = "";
  for await (const chunk of response) body += chunk.toString();
  return body;
}

function agentOf(source: Workload["source"], authorize: Authorizer = authorizeAny): MtlsAgent {
  const agent = new MtlsAgent({ source, authorize });
  cleanups.push(() => agent.destroy());
  return agent;
}

function undiciOf(source: Workload["source"], authorize: Authorizer = authorizeAny): Agent {
  const agent = new Agent({ connect: undiciConnector({ source, authorize }) });
  cleanups.push(() => agent.destroy());
  return agent;
}

/** A client that OpenSSL alone would allow anything, for what our own client would never send. */
async function rawAnswer(port: number, identity: { certPem?: string; keyPem?: string }): Promise<string> {
  const socket = connect({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ...(identity.certPem !== undefined && { cert: identity.certPem, key: identity.keyPem! }),
  });
  socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString();
  });
  socket.on("error", () => {});
  // A TLS 1.3 client sees the handshake done before the server has judged it: only an answer proves acceptance.
  await new Promise((resolve) => socket.once("close", resolve));
  return text;
}

describe("mutual TLS over https", () => {
  it("lets an authorized client in and tells the handler who it is", async () => {
    const server = await start("/payments");
    const client = await start("/checkout");
    const { url } = await answering({ ...server, authorize: authorizeId("spiffe://demo.holdfast.test/checkout") });
    const agent = agentOf(client.source, authorizeId("spiffe://demo.holdfast.test/payments"));
    expect(await ask(url, agent)).toBe("spiffe://demo.holdfast.test/checkout");
  });

  it("works the same with undici", async () => {
    const server = await start("/payments");
    const client = await start("/checkout");
    const { url } = await answering({ ...server, authorize: authorizeMemberOf(trustDomain) });
    const dispatcher = undiciOf(client.source, authorizeId("spiffe://demo.holdfast.test/payments"));
    const response = await fetch(url, { dispatcher });
    expect(await response.text()).toBe("spiffe://demo.holdfast.test/checkout");
    await expect(fetch(url.replace("https", "http"), { dispatcher })).rejects.toMatchObject({
      cause: expect.objectContaining({ message: expect.stringContaining("mutual TLS is for https") }),
    });
  });

  it("takes certificates under an intermediate authority on both sides", async () => {
    const server = await start("/payments", deep);
    const client = await start("/checkout", deep);
    const { url } = await answering({ ...server, authorize: authorizeAny });
    expect(await ask(url, agentOf(client.source))).toBe("spiffe://demo.holdfast.test/checkout");
    const response = await fetch(url, { dispatcher: undiciOf(client.source) });
    expect(await response.text()).toBe("spiffe://demo.holdfast.test/checkout");
  });

  const refused: [string, IssueOptions & { id?: string; by?: () => ThrowawayAuthority }][] = [
    ["of another identity", { id: "/intruder" }],
    ["of a trust domain without a bundle", { id: "spiffe://other.test/checkout", by: () => other }],
    ["that claims our trust domain, signed by another's authority", { by: () => other }],
    ["whose SVID has expired", { ttlMs: -1_000 }],
    ["whose SVID is that of an authority", { ca: true }],
    ["whose SVID may sign certificates", { keyUsages: ["digitalSignature", "keyCertSign"] }],
    ["with two URI names", { uris: ["spiffe://demo.holdfast.test/checkout", "spiffe://demo.holdfast.test/b"] }],
    ["with the ID of the trust domain", { uris: ["spiffe://demo.holdfast.test"] }],
    ["without an ID", { uris: [], dnsNames: ["checkout"] }],
  ];
  it.each(refused)("refuses a client %s before any handler runs", async (_what, options) => {
    const server = await start("/payments");
    const answer = await answering({ ...server, authorize: authorizeId("spiffe://demo.holdfast.test/checkout") });
    const { id = "spiffe://demo.holdfast.test/checkout", by = () => authority, ...issue } = options;
    expect(await rawAnswer(answer.port, await by().issue(id, issue))).toBe("");
    expect(answer.handled).toBe(0);
    // The same way with a right certificate works: it was the certificate.
    expect(await rawAnswer(answer.port, await authority.issue("/checkout"))).toContain("200 OK");
  });

  it("refuses a client without a certificate", async () => {
    const server = await start("/payments");
    const answer = await answering({ ...server, authorize: authorizeAny });
    expect(await rawAnswer(answer.port, {})).toBe("");
    expect(answer.handled).toBe(0);
  });

  const impostors: [string, IssueOptions & { id?: string; by?: () => ThrowawayAuthority }, string][] = [
    ["of another identity", { id: "/intruder" }, "is not among those"],
    ["of an unknown authority", { by: () => other }, "unable to"],
    ["whose SVID has expired", { ttlMs: -1_000 }, "expired"],
    ["whose SVID is that of an authority", { ca: true }, "that of an authority"],
    ["with two URI names", { uris: ["spiffe://demo.holdfast.test/payments", "https://a.test"] }, "2 URI names"],
  ];
  it.each(impostors)("refuses a server %s, with the reason", async (_what, options, reason) => {
    const { id = "spiffe://demo.holdfast.test/payments", by = () => authority, ...issue } = options;
    const { certPem, keyPem } = await by().issue(id, issue);
    const server = createTls({ cert: certPem, key: keyPem }).listen(0, "127.0.0.1");
    server.on("secureConnection", (socket: TLSSocket) => socket.on("error", () => {}));
    await once(server, "listening");
    cleanups.push(() => server.close());
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const client = await start("/checkout");
    const authorize = authorizeId("spiffe://demo.holdfast.test/payments");
    await expect(ask(url, agentOf(client.source, authorize))).rejects.toThrow(reason);
    await expect(fetch(url, { dispatcher: undiciOf(client.source, authorize) })).rejects.toMatchObject({
      cause: { message: expect.stringContaining(reason) },
    });
  });

  it("never resumes a session, so that an SVID which has gone bad cannot ride on one", async () => {
    const server = await start("/payments");
    const { port } = await answering({ ...server, authorize: authorizeAny });
    const { certPem, keyPem } = await authority.issue("/checkout");
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const sessions: Buffer[] = [];
      for (let round = 0; round < 2; round++) {
        const session = sessions.at(-1);
        const socket = connect({
          port,
          host: "127.0.0.1",
          rejectUnauthorized: false,
          cert: certPem,
          key: keyPem,
          maxVersion,
          ...(session && { session }),
        });
        socket.on("session", (each) => sessions.push(each));
        socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        socket.resume();
        await once(socket, "secureConnect");
        expect(socket.isSessionReused()).toBe(false);
        await once(socket, "close");
      }
    }
  });
});

describe("mutual TLS with bundles of several trust domains", () => {
  let foreign: ThrowawayAuthority;
  async function federated(): Promise<Answering> {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-federated-"));
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    foreign = await ThrowawayAuthority.create({ trustDomain: "foreign.test", intermediates: 1 });
    await writeFile(join(directory, "other.pem"), other.bundlePem);
    await writeFile(join(directory, "foreign.pem"), foreign.bundlePem);
    const server = await start("/payments", authority, {
      "other.test": join(directory, "other.pem"),
      "foreign.test": join(directory, "foreign.pem"),
    });
    return await answering({ ...server, authorize: authorizeAny });
  }
  it("lets members of each in, under their own authority", async () => {
    const { port } = await federated();
    expect(await rawAnswer(port, await other.issue("/checkout"))).toContain("spiffe://other.test/checkout");
    expect(await rawAnswer(port, await authority.issue("/checkout"))).toContain("spiffe://demo.holdfast.test/checkout");
  });

  it("never lets one domain's authority vouch for a member of another, though OpenSSL would", async () => {
    const answer = await federated();
    const ours = "spiffe://demo.holdfast.test/checkout";
    expect(await rawAnswer(answer.port, await other.issue(ours))).toBe("");
    expect(await rawAnswer(answer.port, await authority.issue("spiffe://other.test/checkout"))).toBe("");
    // Under an intermediate, which some versions of Node hide from a server.
    expect(await rawAnswer(answer.port, await foreign.issue(ours))).toBe("");
    expect(answer.handled).toBe(0);
  });
});

describe("rotation over https", () => {
  it("lets open responses go on while new connections use the new SVID on both sides", async () => {
    const server = await start("/payments");
    const client = await start("/checkout");
    const seen: string[] = [];
    const open: { end(text: string): unknown }[] = [];
    const https = createHttpsServer({ ...server, authorize: authorizeAny }, (request, response) => {
      seen.push((request.socket as TLSSocket).getPeerCertificate().serialNumber);
      if (request.url !== "/stream") return response.end("whole");
      response.write("begun, ");
      open.push(response);
    });
    https.listen(0, "127.0.0.1");
    await once(https, "listening");
    cleanups.push(() => https.close().closeAllConnections());
    const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`;
    const agent = agentOf(client.source);

    await ask(url, agent); // leaves an idle connection behind
    const stream = get(`${url}/stream`, { agent });
    const [response] = (await once(stream, "response")) as [AsyncIterable<Buffer>];
    await server.rotate();
    await client.rotate();
    for (let i = 0; i < 3; i++) expect(await ask(url, agent)).toBe("whole");
    expect(new Set(seen.slice(0, 2)).size).toBe(1);
    expect(seen.slice(2)).not.toContain(seen[0]);

    open[0]!.end("ended");
    let body = "";
    for await (const chunk of response) body += chunk.toString();
    expect(body).toBe("begun, ended");
  });

  it("no longer trusts an authority that was taken out of the bundle", async () => {
    const server = await start("/payments");
    const client = await start("/checkout");
    const { url } = await answering({ ...server, authorize: authorizeAny });
    await ask(url, agentOf(client.source));
    const successor = await ThrowawayAuthority.create({ trustDomain });
    const next = await successor.writeSvid(server.directory, "/payments");
    await expect.poll(() => server.source.svid.certPem).toBe(next.certPem);
    await expect(ask(url, agentOf(client.source))).rejects.toThrow();
  });

  it("drops nothing over many rotations of both sides under load", async () => {
    const server = await start("/payments");
    const client = await start("/checkout");
    const answer = await answering({ ...server, authorize: authorizeAny });
    const agent = agentOf(client.source);
    let rotating = true;
    const failures: unknown[] = [];
    let answers = 0;
    const loops = Array.from({ length: 4 }, async () => {
      while (rotating) {
        await ask(answer.url, agent).then(
          () => answers++,
          (error: unknown) => failures.push(error),
        );
      }
    });
    for (let round = 0; round < 10; round++) await Promise.all([server.rotate(), client.rotate()]);
    rotating = false;
    await Promise.all(loops);
    expect(failures).toEqual([]);
    expect(answers).toBeGreaterThan(10);
  });
});
