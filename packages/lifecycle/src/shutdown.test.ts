import { mkdtempSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StorySpan } from "@holdfast/core";
import { probe } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Child, startChild } from "./testing/start-child.ts";

let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-shutdown-"));
});

afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

/** Over a connection that the client would keep. */
function request(url: string, agent: Agent): Promise<{ body: string; connection: string | undefined }> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("error", reject).on("end", () => resolve({ body, connection: response.headers.connection }));
    }).on("error", reject);
  });
}

async function untilDraining(child: Child): Promise<void> {
  const { probeUrl } = await child.line("up");
  while ((await probe(`${probeUrl}/readyz`)).ok);
}

const outcomes = (spans: readonly StorySpan[]) =>
  Object.fromEntries(spans.map((span) => [span.name, span.attributes!["lifecycle.outcome"]]));

// Each case starts processes, and the machine may be busy.
describe("shutdown", { timeout: 60_000 }, () => {
  it("after SIGTERM loses no request: those in flight, those that still come, and those on kept connections", async () => {
    const child = startChild({ stateDir, lameDuckMs: 1_500 });
    const { url, probeUrl } = await child.line("up");
    const agent = new Agent({ keepAlive: true });
    expect(await request(`${url}/`, agent)).toEqual({ body: "hello", connection: "keep-alive" });
    const held = request(`${url}/hold`, agent);
    await child.line("request", 1);

    child.process.kill("SIGTERM");
    await untilDraining(child);
    expect(await probe(`${probeUrl}/livez`)).toMatchObject({ status: 200 });
    // A balancer that has not heard yet sends on, over new connections and old ones.
    expect(await request(`${url}/`, agent)).toEqual({ body: "hello", connection: "close" });
    expect(await request(`${url}/release`, new Agent())).toEqual({ body: "released", connection: "close" });
    expect(await held).toEqual({ body: "held", connection: "close" });

    expect(await child.ended).toBe(0);
    agent.destroy();
    const [root, ...phases] = child.stories;
    expect(root).toMatchObject({ name: "lifecycle.shutdown", status: "ok" });
    expect(phases.map((span) => span.name)).toEqual(
      ["announce", "drain", "flush", "release"].map((phase) => `lifecycle.${phase}`),
    );
    let endMs = root!.startTimeMs;
    for (const span of phases) {
      expect(span).toMatchObject({ traceId: root!.traceId, parentSpanId: root!.spanId, status: "ok" });
      expect(span.attributes).toMatchObject({ "lifecycle.shutdown.trigger": "SIGTERM", "lifecycle.outcome": "ok" });
      // A rollout is no incident.
      expect(span.attributes!["lifecycle.incident"]).toBeUndefined();
      expect(span.startTimeMs).toBeGreaterThanOrEqual(endMs);
      endMs = span.endTimeMs;
    }
    expect(root!.endTimeMs).toBeGreaterThanOrEqual(endMs);
    expect(phases[0]!.endTimeMs - phases[0]!.startTimeMs).toBeGreaterThanOrEqual(1_499);
    // Telemetry closes after the story was told.
    expect(child.lines.at(-1)).toEqual({ last: true });
  });

  it("cuts what does not end within its budget, says so, and opens an incident that the next process inherits", async () => {
    const child = startChild({ stateDir, drainMs: 200 });
    const { url } = await child.line("up");
    const held = fetch(`${url}/hold`).catch(() => "cut");
    await child.line("request");
    child.process.kill("SIGTERM");
    expect(await held).toBe("cut");
    expect(await child.ended).toBe(0);
    expect(outcomes(child.stories)).toEqual({
      "lifecycle.shutdown": "timeout",
      "lifecycle.announce": "ok",
      "lifecycle.drain": "timeout",
      "lifecycle.flush": "ok",
      "lifecycle.release": "ok",
    });
    expect(child.stories.every((span) => span.attributes!["lifecycle.incident"])).toBe(true);

    const next = startChild({ stateDir });
    const { probeUrl } = await next.line("up");
    expect(JSON.parse((await probe(`${probeUrl}/livez?verbose`)).body).incident).toBe(child.stories[0]!.traceId);
    next.process.kill("SIGKILL");
    await next.ended;
  });

  it("is cut short by a second signal, and the next process tells how far it came", async () => {
    const child = startChild({ stateDir, hangInRelease: true });
    await child.line("up");
    child.process.kill("SIGTERM");
    await untilDraining(child);
    child.process.kill("SIGINT");
    expect(await child.ended).toBe(130);
    expect(child.stories).toEqual([]);

    const next = startChild({ stateDir });
    expect(await next.line("told")).toBe("graceful");
    expect(outcomes(next.stories)).toMatchObject({ "lifecycle.shutdown": "forced", "lifecycle.announce": "ok" });
    expect(next.stories[0]!.resource).toMatchObject({ pid: child.process.pid });
    next.process.kill("SIGKILL");
    await next.ended;
  });

  it("ends in time even when a hook keeps the main thread busy for ever, and the next process tells that", async () => {
    const child = startChild({ stateDir, graceMs: 2_000, spinInRelease: true });
    await child.line("up");
    child.process.kill("SIGTERM");
    expect(await child.ended).toBe("SIGKILL");

    const next = startChild({ stateDir });
    expect(await next.line("told")).toBe("grace-exceeded");
    expect(outcomes(next.stories)).toMatchObject({
      "lifecycle.shutdown": "killed",
      "lifecycle.drain": "ok",
      "lifecycle.release": "killed",
    });
    expect(new Set(next.stories.map((span) => span.traceId)).size).toBe(1);
    next.process.kill("SIGKILL");
    await next.ended;
  });

  it("that does not fit the grace refuses to start, with the sum", async () => {
    const child = startChild({ graceMs: 6_000, lameDuckMs: 5_000 });
    expect((await child.line("startFailed")).message).toMatch(/= 7000 ms, and graceMs is 6000$/);
    expect(await child.ended).toBe(1);
  });
});
