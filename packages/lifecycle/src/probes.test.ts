import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { type StorySpan, silentLogger } from "@holdfast/core";
import { freePort, type ProbeResult, probe, startProber } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { createLifecycle, type LifecycleOptions } from "./index.ts";
import { startChild } from "./testing/start-child.ts";

const quiet: LifecycleOptions = {
  service: "probed",
  probe: { port: 0, host: "127.0.0.1" },
  stateDir: false,
  signals: false,
  sink: { exportSpans: async () => {} },
  logger: silentLogger,
};

async function until<T>(look: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (good(value)) return value;
  }
}

// Each case starts processes, and the machine may be busy.
describe("probes", { timeout: 60_000 }, () => {
  it("are answered while the main thread is blocked for 3 s: alive, not ready, then ready again", async () => {
    const child = startChild({});
    const { probeUrl, url } = await child.line("up");
    const live: ProbeResult[] = [];
    const ready: ProbeResult[] = [];
    const blocked = fetch(`${url}/block=3000`);
    await child.line("request");
    const probers = [
      startProber({ url: `${probeUrl}/livez`, periodMs: 25, onResult: (result) => live.push(result) }),
      startProber({ url: `${probeUrl}/readyz`, periodMs: 100, onResult: (result) => ready.push(result) }),
    ];
    expect(await (await blocked).text()).toBe("blocked");
    await Promise.all(probers.map((prober) => prober.close()));

    // A prober that shares two cores with the tests is late at times; what counts is that none ran into its time-out.
    expect(live.length).toBeGreaterThan(30);
    expect(live.filter((result) => result.status !== 200)).toEqual([]);
    expect(new Set(ready.map((result) => result.status))).toEqual(new Set([200, 503]));
    expect(ready.find((result) => !result.ok)!.body).toMatch(
      /the event loop has stood still for \d+ ms, longer than 1s/,
    );
    expect((await probe(`${probeUrl}/readyz`)).status).toBe(200);

    const stall = await child.story("lifecycle.stall");
    expect(stall.parentSpanId).toBeUndefined();
    expect(stall.endTimeMs - stall.startTimeMs).toBeGreaterThan(2_800);
    for (const span of child.stories.filter(({ name }) => name === "lifecycle.probe")) {
      expect(span).toMatchObject({ traceId: stall.traceId, parentSpanId: stall.spanId, status: "error" });
      expect(span.attributes).toMatchObject({ "lifecycle.incident": true, "lifecycle.probe.path": "/readyz" });
    }
    child.process.kill("SIGKILL");
    await child.ended;
  });

  it("say starting, ready, degraded and draining, with a reason in words and details in JSON", async () => {
    const told: StorySpan[] = [];
    const sink = { exportSpans: async (spans: readonly StorySpan[]) => void told.push(...spans) };
    await using lifecycle = await createLifecycle({ ...quiet, sink, lameDuckMs: 0 });
    const get = (path: string) => probe(`${lifecycle.probeUrl}${path}`);
    expect(await get("/startupz")).toMatchObject({ status: 503, body: "starting\n" });
    expect(await get("/readyz")).toMatchObject({ status: 503, body: "starting\n" });
    expect(await get("/livez")).toMatchObject({ status: 200, body: "ok\n" });

    lifecycle.ready();
    lifecycle.ready();
    expect(await get("/startupz")).toMatchObject({ status: 200 });
    lifecycle.addCheck("cache", () => {
      throw new Error("cold");
    });
    await until(
      async () => lifecycle.state,
      (state) => state === "degraded",
    );
    expect(await get("/readyz")).toMatchObject({ status: 200 });

    lifecycle.addCheck("database", () => false, { critical: true });
    const answer = await until(
      () => get("/readyz?verbose"),
      ({ body }) => body.includes('"failing",\n      "reason": "it answered false"'),
    );
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({
      status: "failing",
      reason: "a critical check fails: database: it answered false",
      state: "degraded",
      service: "probed",
      checks: [
        { name: "cache", critical: false, status: "failing", reason: "cold" },
        { name: "database", critical: true, status: "failing" },
      ],
    });

    let draining: ProbeResult | undefined;
    lifecycle.onShutdown("drain", "look", async () => {
      draining = await get("/readyz");
    });
    await lifecycle.shutdown("test");
    expect(draining).toMatchObject({ status: 503, body: "draining\n" });
    expect(lifecycle.state).toBe("stopped");
    // A failed check is an anomaly, so the probe, and the shutdown after it, are spans of one incident.
    expect(new Set(told.map(({ traceId }) => traceId)).size).toBe(1);
  });

  it("refuse a taken port with an error that names port and option, and leave nothing behind", async () => {
    const squatter = createServer().listen(0, "127.0.0.1");
    await once(squatter, "listening");
    const { port } = squatter.address() as AddressInfo;
    const error = await createLifecycle({ ...quiet, probe: { port, host: "127.0.0.1" } }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: "PROBE_PORT_TAKEN",
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port} is taken .* option probe\\.port`)),
    });
    squatter.close();
  });

  it("are answered by a thread that loads nothing of the application's", async () => {
    const child = startChild({}, ["--import", 'data:text/javascript,console.error("preloaded")']);
    await child.line("up");
    child.process.kill("SIGTERM");
    expect(await child.ended).toBe(0);
    expect(child.stderr).toBe("preloaded\n");
  });

  it("can be done without: the rest of the lifecycle works as before", async () => {
    await using lifecycle = await createLifecycle({ ...quiet, probe: false, lameDuckMs: 0 });
    expect(lifecycle.probeUrl).toBeNull();
    lifecycle.ready();
    await lifecycle.shutdown("test");
    expect(lifecycle.state).toBe("stopped");
  });

  it("outlive garbage thrown at the probe port of a running service", async () => {
    const port = await freePort();
    await using lifecycle = await createLifecycle({ ...quiet, probe: { port, host: "127.0.0.1" } });
    const garbage = connect(port, "127.0.0.1");
    const chunks: string[] = [];
    garbage.setEncoding("utf8").on("data", (text: string) => chunks.push(text));
    garbage.on("error", () => {}).end(Buffer.alloc(100_000, 0x16));
    await new Promise((closed) => garbage.once("close", closed));
    expect(chunks.join("")).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*probes are answered here/);
    expect(await probe(`${lifecycle.probeUrl}/livez`)).toMatchObject({ status: 200 });
  });
});
