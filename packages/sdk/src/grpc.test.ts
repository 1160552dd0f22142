import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type OtlpReceiver, startOtlpReceiver } from "../../telemetry/src/testing/otlp-receiver.ts";
import { startChild } from "./testing/child.ts";

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let receiver: OtlpReceiver;
let stateDir: string;

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-grpc-"));
});

afterEach(async () => {
  await receiver.close();
  rmSync(stateDir, { recursive: true, force: true });
});

describe.each([
  ["in main", []],
  ["by --import", ["--import", file("./register.ts")]],
])("gRPC under Holdfast, started %s", (_where, before) => {
  it("is one call, one attempt and one server span, in one trace, and drains on SIGTERM", async () => {
    await using child = startChild([...before, file("./testing/apps/grpc-echo.mjs")], {
      OTEL_SERVICE_NAME: "echo",
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      HOLDFAST_STATE_DIR: stateDir,
      HOLDFAST_LAME_DUCK: "0ms",
    });
    await child.line("called");
    expect(await child.end("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(await child.line("telemetry closed")).toMatchObject({ spans: { ended: 3, exported: 3 }, openSpans: 0 });
    const called = receiver.spans.filter(({ scope }) => scope !== "holdfast.story");
    const call = called.find(({ name }) => name === "holdfast.call echo")!;
    const attempt = called.find(({ kind }) => kind === "client")!;
    const server = called.find(({ kind }) => kind === "server")!;
    expect(attempt).toMatchObject({ parentSpanId: call.spanId, attributes: { "holdfast.target": "echo" } });
    expect(server).toMatchObject({ traceId: call.traceId, parentSpanId: attempt.spanId });
  });
});
