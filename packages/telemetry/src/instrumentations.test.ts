import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { startOtlpReceiver } from "./testing/otlp-receiver.ts";
import type { ReceivedSpan } from "./testing/received.ts";

// Child processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const run = promisify(execFile);
const app = (name: string): string => fileURLToPath(new URL(`./testing/apps/${name}`, import.meta.url));

async function spansOf(args: readonly string[]): Promise<ReceivedSpan[]> {
  await using receiver = await startOtlpReceiver();
  const { stdout } = await run(process.execPath, ["--conditions=@holdfast/source", ...args], {
    env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, NODE_OPTIONS: "" },
    timeout: 50_000,
  });
  expect(JSON.parse(stdout)).toMatchObject({ clean: true, openSpans: 0 });
  expect(JSON.parse(stdout).spans.exported).toBe(receiver.spans.length);
  return receiver.spans;
}

const find = (spans: readonly ReceivedSpan[], kind: ReceivedSpan["kind"], match: (span: ReceivedSpan) => boolean) =>
  spans.filter((span) => span.kind === kind && match(span));
const path = (is: string) => (span: ReceivedSpan) =>
  span.attributes["url.path"] === is || String(span.attributes["url.full"]).endsWith(is);
const named = (is: RegExp) => (span: ReceivedSpan) => is.test(span.name);

describe.each([
  ["ESM, started before the service", ["--import", app("start-first.mjs"), app("traced.mjs")], 1],
  // `import * as grpc` copied makeClientConstructor out before it could be patched: the client's span is missing, and
  // the server's is a root.
  ["ESM, started in main after its static imports", [app("traced.mjs")], 0],
  ["CommonJS, started before the service", ["--import", app("start-first.mjs"), app("traced.cjs")], 1],
  ["CommonJS, started in main after its requires", [app("traced.cjs")], 1],
])("instrumentation in %s", (_name, args, grpcClientSpans) => {
  it("makes spans of http, fetch, grpc and pg, joined across the wire, and none of probes", async () => {
    const spans = await spansOf(args);
    for (const called of ["/by-fetch", "/by-get"]) {
      const [client] = find(spans, "client", path(called));
      const [server, ...more] = find(spans, "server", path(called));
      expect(client, `the client's span of ${called}`).toBeDefined();
      expect(server, `the server's span of ${called}`).toMatchObject({
        traceId: client!.traceId,
        parentSpanId: client!.spanId,
      });
      expect(more).toEqual([]);
    }
    expect(find(spans, "server", path("/probed"))).toEqual([]);

    expect(find(spans, "server", path("/by-fetch"))[0]).toMatchObject({
      name: "GET /:how",
      attributes: { "http.route": "/:how" },
    });

    // The second call's interceptor traces itself: the server's span is all that there is.
    const says = find(spans, "server", named(/test\.Echo\/Say/));
    expect(says).toHaveLength(2);
    const asks = find(spans, "client", named(/test\.Echo\/Say/));
    expect(asks).toHaveLength(grpcClientSpans);
    expect(says.map(({ parentSpanId }) => parentSpanId).sort()).toEqual(["", asks[0]?.spanId ?? ""]);

    expect(find(spans, "client", named(/^pg-pool\.connect/))).toHaveLength(1);
    expect(find(spans, "client", named(/^pg\.query:SELECT/))).toHaveLength(1);
    expect(find(spans, "internal", named(/^by an early tracer$/))).toHaveLength(1);
    // The exporter's own calls are not among them.
    expect(spans.filter(named(/opentelemetry/))).toEqual([]);
  });
});
