import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type OverrideStore, parsePolicy } from "@holdfast/policy";
import { redisOverrideStore } from "@holdfast/policy/redis";
import { sqliteOverrideStore } from "@holdfast/policy/sqlite";
import { seededRandom, startRedis } from "@holdfast/testkit";
import { afterAll, describe, expect, it } from "vitest";
import type { Decision } from "./decide/decision.ts";
import { scanTraces } from "./otlp/index.ts";
import { ControllerProcess } from "./testing/controller-process.ts";
import { EmulatedService } from "./testing/emulated-service.ts";
import { OtlpDestination } from "./testing/otlp-destination.ts";
import { tracesRequest } from "./testing/otlp-writer.ts";
import { testPolicy } from "./testing/test-controller.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-controller-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const policyFile = join(directory, "policy.yaml");
writeFileSync(policyFile, testPolicy);
const policy = parsePolicy(testPolicy);

const quick = ["--policy", policyFile, "--window", "1s", "--interval", "100ms", "--cooldown", "2s"];
const protobuf = { "content-type": "application/x-protobuf" };

async function json<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}

/** Sends bytes to a port as they are, and waits until the other side has had enough. */
function rawNoise(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.end(bytes));
    socket.on("close", () => resolve());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (["ECONNRESET", "EPIPE"].includes(error.code ?? "")) resolve();
      else reject(error);
    });
    socket.resume();
  });
}

/** From telemetry to a value that runs: decided, written, echoed and judged, twice in a row. */
async function tunes(store: OverrideStore, storeArgs: readonly string[]): Promise<void> {
  await using destination = await OtlpDestination.start();
  await using controller = new ControllerProcess([...quick, ...storeArgs, "--export", destination.url]);
  const { grpc, api } = await controller.ready();
  const common = { endpoint: grpc, service: "payments", target: "ledger", policy, store };
  await using one = new EmulatedService({ ...common, instance: "p-1" });
  await using other = new EmulatedService({ ...common, instance: "p-2" });
  const second = await controller.line(({ msg, old }) => msg === "decision" && old === 0.35);
  const judged = await controller.line(({ msg }) => msg === "decision judged");
  expect(judged).toMatchObject({ verdict: "unchanged" });
  const confirmed = await controller.line(
    ({ msg, decisionId }) => msg === "decision confirmed" && decisionId === second.decisionId,
  );
  expect(confirmed).toMatchObject({ instances: 2, live: 2 });
  expect([one.threshold(), other.threshold()]).toEqual([0.2, 0.2]);
  const { controller: stored } = await store.read({ namespace: "test", service: "payments", target: "ledger" });
  expect(stored).toMatchObject({
    version: 2,
    values: { "breaker.failureRateThreshold": 0.2 },
    decisionId: second.decisionId,
    author: expect.stringContaining("feedback-controller/"),
  });
  const { decisions } = await json<{ decisions: Decision[] }>(`${api}/api/decisions`);
  expect(decisions.map((decision) => [decision.old, decision.new, decision.verdict]).toReversed()).toEqual([
    [0.5, 0.35, "unchanged"],
    [0.35, 0.2, "pending"],
  ]);
  // The decision's own span came in like any other: it is kept, it links to calls, and it is passed on.
  const [first] = decisions.toReversed();
  const { spans } = await json<{ spans: { name: string; links: unknown[] }[] }>(
    `${api}/api/traces/${first!.span.traceId}`,
  );
  expect(spans.map(({ name }) => name).toSorted()).toEqual([
    "holdfast.decision",
    "holdfast.decision.confirmed",
    "holdfast.decision.verdict",
  ]);
  expect(spans.find(({ name }) => name === "holdfast.decision")!.links.length).toBeGreaterThan(0);
  expect(await controller.stop()).toBe(0);
  const wanted = { resource: new Set<string>(), span: new Set<string>() };
  const traces = destination.requests.filter(({ path }) => path === "/v1/traces");
  const passedOn = traces.flatMap(({ body }) => scanTraces(body, wanted).records);
  expect(passedOn.filter(({ name }) => name === "holdfast.decision").length).toBe(2);
  expect(passedOn.some(({ name }) => name === "lifecycle.shutdown")).toBe(true);
  const closed = await controller.line(({ msg }) => msg === "forwarding closed");
  expect(closed).toMatchObject({ failed: 0, dropped: 0, lost: 0 });
}

describe("the controller's program", () => {
  it("tunes a fleet through a real Redis", async () => {
    await using redis = await startRedis();
    await using store = redisOverrideStore({ redis: redis.url, pollMs: 500 });
    await tunes(store, ["--redis", redis.url]);
  }, 60_000);

  it("tunes a fleet through SQLite", async () => {
    const file = join(directory, "overrides.sqlite");
    await using store = sqliteOverrideStore({ file, pollMs: 100 });
    await tunes(store, ["--sqlite", file]);
  }, 60_000);

  it("loses nothing of what it took, on a clean stop, although the destination was away", async () => {
    await using destination = await OtlpDestination.start();
    destination.answers.push(...Array.from({ length: 8 }, () => ({ status: 503 })));
    await using controller = new ControllerProcess([...quick, "--export", destination.url]);
    const { http } = await controller.ready();
    const bodies = Array.from({ length: 50 }, (_, i) => tracesRequest({ "service.name": `s${i}` }, [{ name: `${i}` }]));
    for (const body of bodies)
      expect((await fetch(`${http}/v1/traces`, { method: "POST", headers: protobuf, body })).status).toBe(200);
    expect(await controller.stop()).toBe(0);
    const arrived = new Set(destination.requests.slice(8).map(({ body }) => body.toString("base64")));
    for (const body of bodies) expect(arrived.has(Buffer.from(body).toString("base64"))).toBe(true);
  }, 30_000);

  it("survives garbage at every port, in bounded memory", async () => {
    await using controller = new ControllerProcess(quick);
    const { http, api, grpc } = await controller.ready();
    const rss = async (): Promise<number> =>
      (await json<{ memory: { rssBytes: number } }>(`${api}/health`)).memory.rssBytes;
    const before = await rss();
    const random = seededRandom(1);
    const noise = Buffer.from(Array.from({ length: 200_000 }, () => Math.floor(random() * 256)));
    const large = Buffer.alloc(100 * 1024 * 1024, 0x0a);
    const bomb = gzipSync(Buffer.alloc(500 * 1024 * 1024), { level: 1 });
    const statuses: number[] = [];
    for (let round = 0; round < 2; round++)
      for (const path of ["/v1/traces", "/v1/metrics", "/v1/logs"])
        for (const [body, headers] of [
          [noise, protobuf],
          [noise, { "content-type": "application/json" }],
          [noise, { ...protobuf, "content-encoding": "gzip" }],
          [bomb, { ...protobuf, "content-encoding": "gzip" }],
          [noise, { "content-type": "text/html" }],
        ] as const) {
          const response = await fetch(`${http}${path}`, { method: "POST", body, headers });
          statuses.push(response.status);
          await response.arrayBuffer();
        }
    for (const path of ["/v1/traces", "/api/decisions"]) {
      const url = path === "/v1/traces" ? `${http}${path}` : `${api}${path}`;
      // Whoever is refused in the middle of a large body may find the connection closed instead of an answer.
      const response = await fetch(url, { method: "POST", body: large, headers: protobuf }).catch(() => undefined);
      if (response !== undefined) statuses.push(response.status);
      await response?.arrayBuffer().catch(() => {});
    }
    for (const url of [http, grpc, api]) await rawNoise(Number(new URL(url).port), noise);
    expect(statuses.every((status) => [400, 405, 413, 415].includes(status))).toBe(true);
    expect((await rss()) - before).toBeLessThan(300 * 1024 * 1024);
    const alive = await fetch(`${http}/v1/traces`, {
      method: "POST",
      headers: protobuf,
      body: tracesRequest({}, [{}]),
    });
    expect(alive.status).toBe(200);
    expect(await controller.stop()).toBe(0);
  }, 60_000);

  it("says what is wrong with its options, and leaves with 2", async () => {
    await using controller = new ControllerProcess(["--policy", policyFile, "--window", "soon"]);
    expect(await controller.ended).toBe(2);
    expect(controller.stderr).toContain('--window "soon" is not a duration');
  });

  it("says what is wrong with its policy, and leaves with 1", async () => {
    const broken = join(directory, "broken.yaml");
    writeFileSync(broken, "apiVersion: holdfast.dev/v1alpha1\nkind: Policy\ntargest: {}\n");
    await using controller = new ControllerProcess(["--policy", broken]);
    expect(await controller.ended).toBe(1);
    expect(controller.stderr).toContain("targest");
  });

  it("names the option of a port that is taken, and leaves with 1", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
    const refused = async (flag: string): Promise<void> => {
      await using controller = new ControllerProcess([...quick, flag, String(port)]);
      expect(await controller.ended).toBe(1);
      expect(controller.stderr).toContain(String(port));
      expect(controller.stderr).toContain(flag === "--probe-port" ? "probe" : flag);
    };
    await Promise.all(["--otlp-grpc-port", "--otlp-http-port", "--api-port", "--probe-port"].map(refused));
    server.close();
  }, 60_000);

  it("prints its help", async () => {
    await using controller = new ControllerProcess(["--help"]);
    expect(await controller.ended).toBe(0);
  });
});
