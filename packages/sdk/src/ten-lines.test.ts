import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, probe } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type OtlpReceiver, startOtlpReceiver } from "../../telemetry/src/testing/otlp-receiver.ts";
import { type Child, startChild } from "./testing/child.ts";

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const example = fileURLToPath(new URL("../examples/ten-lines.ts", import.meta.url));

let receiver: OtlpReceiver;
let stateDir: string;
const seen: IncomingHttpHeaders[] = [];
const upstream = createServer((request, response) => {
  seen.push(request.headers);
  response.setHeader("content-type", "application/json").end(JSON.stringify({ paid: true }));
});

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-ten-lines-"));
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
});

afterEach(async () => {
  await receiver.close();
  upstream.closeAllConnections();
  upstream.close();
  seen.length = 0;
  rmSync(stateDir, { recursive: true, force: true });
});

async function startExample(env: Record<string, string> = {}): Promise<{ child: Child; url: string }> {
  const port = await freePort();
  const child = startChild([example], {
    PORT: String(port),
    PAYMENTS_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    HOLDFAST_STATE_DIR: stateDir,
    HOLDFAST_LAME_DUCK: "50ms",
    ...env,
  });
  await child.line("lifecycle state");
  return { child, url: `http://127.0.0.1:${port}` };
}

const checkout = (url: string): Promise<Response> =>
  fetch(`${url}/checkout`, {
    method: "POST",
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ orderId: "o-1" }),
  });

describe("the ten lines of the README", () => {
  it("answer, are probed, are traced over both hops, and stop without losing a span", async () => {
    const { child, url } = await startExample();
    await using _ = child;
    const { probes, missing } = await child.line("holdfast started without some of its parts");
    expect(Object.keys(missing as object)).toEqual(["policy", "store"]);
    expect((await probe(`${probes}/readyz`, { timeoutMs: 1_000 })).ok).toBe(true);

    expect(await (await checkout(url)).json()).toEqual({ paid: true });
    expect(await child.end("SIGTERM")).toEqual({ code: 0, signal: null });

    const closed = await child.line("telemetry closed");
    const stories = receiver.spans.filter(({ scope }) => scope === "holdfast.story");
    const traced = receiver.spans.filter(({ scope }) => scope !== "holdfast.story");
    expect(closed).toMatchObject({
      spans: { ended: traced.length, exported: traced.length, failed: 0, dropped: 0 },
      stories: { delivered: stories.length, failed: 0 },
      openSpans: 0,
    });

    const server = traced.find(({ kind, name }) => kind === "server" && name === "POST /checkout")!;
    const call = traced.find(({ name }) => name === "holdfast.call payments")!;
    const attempts = traced.filter(({ kind }) => kind === "client");
    expect(server.attributes).toMatchObject({ "http.route": "/checkout", "http.response.status_code": 200 });
    expect(call.parentSpanId).toBe(server.spanId);
    expect(attempts).toHaveLength(1);
    expect(attempts[0]).toMatchObject({ parentSpanId: call.spanId, attributes: { "holdfast.target": "payments" } });
    expect(seen[0]!.traceparent).toBe(`00-${server.traceId}-${attempts[0]!.spanId}-01`);
    expect(stories.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["lifecycle.shutdown", "lifecycle.announce", "lifecycle.drain", "lifecycle.release"]),
    );

    const names = new Set(receiver.metrics.map(({ name }) => name));
    for (const name of [
      "holdfast.breaker.state",
      "holdfast.client.call.duration",
      "holdfast.policy.value",
      "holdfast.policy.version",
      "http.server.request.duration",
      "lifecycle.state",
    ])
      expect(names, name).toContain(name);
    expect(receiver.logs.some(({ body }) => body === "lifecycle state")).toBe(true);
  });

  it("say what is wrong with the environment, by its name, and do not start", async () => {
    await using child = startChild([example], { HOLDFAST_GRACE: "soon", HOLDFAST_STATE_DIR: stateDir });
    expect((await child.end()).code).toBe(1);
    expect(child.errors).toContain('HOLDFAST_GRACE: "soon" is not a duration');
  });
});
