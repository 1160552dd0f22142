import { afterEach, describe, expect, it } from "vitest";
import type { Controller } from "../controller.ts";
import { tracesRequest } from "../testing/otlp-writer.ts";
import { startTestController } from "../testing/test-controller.ts";

let controller: Controller | undefined;

afterEach(async () => {
  await controller?.close(1_000);
});

async function get(path: string, init?: RequestInit): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`http://127.0.0.1:${controller!.api.port}${path}`, init);
  expect(response.headers.get("content-type")).toBe("application/json");
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function send(): Promise<void> {
  const spans = [
    { kind: 3, attributes: { "holdfast.target": "ledger" }, status: 2 },
    { kind: 2, spanId: "00000000000000aa", durationMs: 25 },
  ];
  const response = await fetch(`http://127.0.0.1:${controller!.http.port}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body: tracesRequest({ "service.name": "payments" }, spans),
  });
  expect(response.status).toBe(200);
}

describe("the API", () => {
  it("shows services, edges and traces as they come in", async () => {
    controller = await startTestController();
    controller.decide({ exportSpans: async () => {} });
    await send();
    const { body: services } = await get("/api/services");
    expect(services.services).toMatchObject([{ service: "payments", failureRate: 0 }]);
    const { body: edges } = await get("/api/edges");
    expect(edges.edges).toMatchObject([{ service: "payments", target: "ledger", failureRate: 1, breaker: null }]);
    const { body: list } = await get("/api/traces?limit=1");
    const [trace] = list.traces as { traceId: string; spans: number }[];
    expect(trace).toMatchObject({ traceId: "0af7651916cd43dd8448eb211c80319c", spans: 2, errors: 1 });
    const { body: whole } = await get(`/api/traces/${trace!.traceId.toUpperCase()}`);
    expect((whole.spans as unknown[]).length).toBe(2);
    expect((await get("/api/decisions")).body).toEqual({ decisions: [] });
  });

  it("tells how its parts are", async () => {
    controller = await startTestController({ exports: ["http://127.0.0.1:9"] });
    expect((await get("/health")).status).toBe(503);
    controller.decide({ exportSpans: async () => {} });
    const { status, body } = await get("/health");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "ok",
      components: {
        receivers: { status: "ok" },
        "trace-store": { status: "ok" },
        decisions: { status: "ok" },
        "export http://127.0.0.1:9": { status: "ok" },
      },
      receiver: { accepted: { traces: 0 }, inFlightBytes: 0 },
    });
  });

  it.each([
    ["/api/traces/0af7651916cd43dd8448eb211c80319c", 404, "NOT_FOUND"],
    ["/api/traces/short", 400, "BAD_REQUEST"],
    ["/api/traces?limit=0", 400, "BAD_REQUEST"],
    ["/api/traces?limit=5000", 400, "BAD_REQUEST"],
    ["/api/decisions?limit=x", 400, "BAD_REQUEST"],
    ["/api/nothing", 404, "NOT_FOUND"],
    ["/", 404, "NOT_FOUND"],
  ])("answers %s with %d as JSON", async (path, status, code) => {
    controller = await startTestController();
    const answer = await get(path);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ error: { code } });
  });

  it("only answers questions", async () => {
    controller = await startTestController();
    const answer = await get("/api/decisions", { method: "POST", body: "{}" });
    expect(answer).toMatchObject({ status: 405, body: { error: { code: "METHOD_NOT_ALLOWED" } } });
  });
});
