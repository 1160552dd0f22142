import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { probe } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type OtlpReceiver, startOtlpReceiver } from "../../telemetry/src/testing/otlp-receiver.ts";
import { startChild } from "./testing/child.ts";

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const app = (name: string): string => fileURLToPath(new URL(`./testing/apps/${name}`, import.meta.url));
const register = fileURLToPath(new URL("./register.ts", import.meta.url));

let receiver: OtlpReceiver;
let stateDir: string;

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-register-"));
});

afterEach(async () => {
  await receiver.close();
  rmSync(stateDir, { recursive: true, force: true });
});

function startPlain(name: string, env: Record<string, string> = {}) {
  return startChild(["--import", register, app(name)], {
    OTEL_SERVICE_NAME: "plain",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    HOLDFAST_STATE_DIR: stateDir,
    HOLDFAST_LAME_DUCK: "100ms",
    ...env,
  });
}

describe("a service without a line of Holdfast, started with --import", () => {
  it.each(["plain-server.mjs", "plain-server.cjs"])("is traced, probed, drained and stopped: %s", async (name) => {
    await using child = startPlain(name);
    const { port } = await child.line("listening");
    await child.line("lifecycle state");
    const started = child.lines.find(({ msg }) => String(msg).startsWith("holdfast started"))!;
    expect((await probe(`${started.probes}/readyz`, { timeoutMs: 1_000 })).ok).toBe(true);
    expect(await (await fetch(`http://127.0.0.1:${port}/hello`)).text()).toBe("plain");
    expect(await child.end("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(await child.line("telemetry closed")).toMatchObject({ spans: { ended: 1, exported: 1 } });
    expect(receiver.spans.find(({ kind }) => kind === "server")).toMatchObject({
      resource: { "service.name": "plain" },
      attributes: { "url.path": "/hello" },
    });
  });

  it("finishes the requests in flight when it is told to stop", async () => {
    await using child = startPlain("plain-server.mjs");
    const { port } = await child.line("listening");
    const slow = fetch(`http://127.0.0.1:${port}/slow`);
    // Answered after the slow one was accepted.
    await (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } })).text();
    const ended = child.end("SIGTERM");
    expect(await (await slow).text()).toBe("slow");
    expect((await ended).code).toBe(0);
  });

  it("runs without probes, and says so in one line, when their port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const probePort = String((taken.address() as AddressInfo).port);
    await using child = startPlain("plain-server.mjs", { HOLDFAST_PROBE_PORT: probePort });
    const { error } = await child.line("no probes are answered");
    expect(error).toContain(probePort);
    const { port } = await child.line("listening");
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("plain");
    expect((await child.end("SIGTERM")).code).toBe(0);
    taken.close();
  });

  it("runs without Holdfast, and says why, when its environment is wrong", async () => {
    await using child = startPlain("plain-server.mjs", { HOLDFAST_MODE: "enforced" });
    const { error } = await child.line("holdfast did not start: the service runs without it");
    expect(error).toContain("HOLDFAST_MODE");
    const { port } = await child.line("listening");
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("plain");
  });

  it("tells its crash after the restart, linked to the request that was in flight", async () => {
    const instance = { OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-1" };
    {
      await using child = startPlain("plain-server.mjs", instance);
      const { port } = await child.line("listening");
      await fetch(`http://127.0.0.1:${port}/crash`).catch(() => {});
      expect((await child.end()).code).not.toBe(0);
    }
    await using child = startPlain("plain-server.mjs", instance);
    await child.line("a previous process of this instance died; its story was told");
    const crash = receiver.spans.find(({ name }) => name === "lifecycle.crash")!;
    const request = receiver.spans.find(({ kind, status }) => kind === "server" && status === "error")!;
    expect(request.attributes["url.path"]).toBe("/crash");
    expect(crash.links.map(({ spanId }) => spanId)).toContain(request.spanId);
    expect(request.resource).toMatchObject({ "service.name": "plain", "service.instance.id": "pod-1" });
    expect(receiver.spans.some(({ name }) => name === "lifecycle.boot")).toBe(true);
  });
});

describe("a script that calls holdfast()", () => {
  it("ends by itself when main returns", async () => {
    const upstream = createServer((_request, response) => response.end("hi")).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    await using child = startChild([app("script.mjs")], {
      UPSTREAM: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      HOLDFAST_STATE_DIR: stateDir,
    });
    await child.line("done");
    expect(await child.end()).toEqual({ code: 0, signal: null });
    upstream.closeAllConnections();
    upstream.close();
  });
});
