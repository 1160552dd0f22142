import { createConnection } from "node:net";
import { gunzipSync, gzipSync } from "node:zlib";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { SpanKind } from "@opentelemetry/api";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPMetricExporter as GrpcMetrics } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtoMetrics } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as GrpcTraces } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonTraces } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoTraces } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader, type PushMetricExporter } from "@opentelemetry/sdk-metrics";
import { SimpleSpanProcessor, type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, describe, expect, it } from "vitest";
import type { Controller } from "../controller.ts";
import { readTracesJson, scanTraces } from "../otlp/index.ts";
import { OtlpDestination } from "../testing/otlp-destination.ts";
import { metricsRequest, tracesRequest } from "../testing/otlp-writer.ts";
import { startTestController, type TestControllerOptions } from "../testing/test-controller.ts";

const started: Controller[] = [];

async function start(options: TestControllerOptions = {}): Promise<Controller> {
  const controller = await startTestController(options);
  started.push(controller);
  return controller;
}

afterEach(async () => {
  for (const controller of started.splice(0)) await controller.close(1_000);
});

const resource = resourceFromAttributes({ "service.name": "payments", "service.instance.id": "p-1" });

async function exportSpan(exporter: SpanExporter): Promise<void> {
  const provider = new TracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const span = provider.getTracer("test").startSpan("POST", { kind: SpanKind.SERVER });
  span.setStatus({ code: 2, message: "no" });
  span.end();
  await provider.forceFlush();
  await provider.shutdown();
}

async function exportMetric(exporter: PushMetricExporter): Promise<void> {
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
  const provider = new MeterProvider({ resource, readers: [reader] });
  const meter = provider.getMeter("test");
  meter.createGauge("holdfast.pool.size").record(4, { "holdfast.target": "database" });
  meter.createHistogram("holdfast.pool.wait.duration").record(0.2, { "holdfast.target": "database" });
  await provider.shutdown();
}

function httpUrl(controller: Controller, path: string): string {
  return `http://127.0.0.1:${controller.http.port}${path}`;
}

interface Posted {
  status: number;
  body: Buffer;
  headers: Headers;
}

async function post(
  controller: Controller,
  path: string,
  body: Uint8Array,
  headers: Record<string, string>,
): Promise<Posted> {
  const response = await fetch(httpUrl(controller, path), { method: "POST", body, headers, keepalive: false });
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()), headers: response.headers };
}

const protobuf = { "content-type": "application/x-protobuf" };
const json = { "content-type": "application/json" };
const request = tracesRequest({ "service.name": "payments" }, [{ attributes: { "holdfast.target": "ledger" } }]);

describe("OpenTelemetry's own exporters", () => {
  it("deliver traces, metrics and logs over gRPC and HTTP, in protobuf and JSON, plain and compressed", async () => {
    const controller = await start();
    const grpcUrl = `http://127.0.0.1:${controller.grpc.port}`;
    const gzip = { compression: "gzip" as const };
    await exportSpan(new GrpcTraces({ url: grpcUrl }));
    await exportSpan(new GrpcTraces({ url: grpcUrl, ...gzip } as ConstructorParameters<typeof GrpcTraces>[0]));
    await exportSpan(new ProtoTraces({ url: httpUrl(controller, "/v1/traces") }));
    await exportSpan(new ProtoTraces({ url: httpUrl(controller, "/v1/traces"), ...gzip } as never));
    await exportSpan(new JsonTraces({ url: httpUrl(controller, "/v1/traces"), ...gzip } as never));
    await exportMetric(new GrpcMetrics({ url: grpcUrl }));
    await exportMetric(new ProtoMetrics({ url: httpUrl(controller, "/v1/metrics") }));
    await exportMetric(new JsonMetrics({ url: httpUrl(controller, "/v1/metrics") }));
    const logs = new LoggerProvider({
      resource,
      processors: [
        new SimpleLogRecordProcessor({ exporter: new OTLPLogExporter({ url: httpUrl(controller, "/v1/logs") }) }),
      ],
    });
    logs.getLogger("test").emit({ severityNumber: 17, body: "no" });
    await logs.forceFlush();
    await logs.shutdown();
    expect(controller.intake.accepted).toEqual({ traces: 5, metrics: 6, logs: 1 });
    expect(controller.intake.refused).toEqual({ malformed: 0, "too-large": 0, busy: 0, unsupported: 0 });
    const services = (await (await fetch(`http://127.0.0.1:${controller.api.port}/api/services`)).json()) as {
      services: { service: string; failureRate: number; logErrors: number }[];
    };
    expect(services.services).toMatchObject([{ service: "payments", failureRate: 1, logErrors: 1, instances: 1 }]);
  });

  it("find what they sent at the destination: the same bytes, compressed as they were", async () => {
    await using destination = await OtlpDestination.start();
    const controller = await start({ exports: [destination.url] });
    await exportSpan(new ProtoTraces({ url: httpUrl(controller, "/v1/traces"), compression: "gzip" } as never));
    await exportSpan(new JsonTraces({ url: httpUrl(controller, "/v1/traces") }));
    await exportSpan(new GrpcTraces({ url: `http://127.0.0.1:${controller.grpc.port}` }));
    await destination.received(3);
    const wanted = { resource: new Set(["service.name"]), span: new Set<string>() };
    const [zipped, text, plain] = destination.requests;
    expect(zipped!.headers).toMatchObject({ "content-type": "application/x-protobuf", "content-encoding": "gzip" });
    expect(scanTraces(gunzipSync(zipped!.body), wanted).items).toBe(1);
    expect(text!.headers["content-type"]).toBe("application/json");
    expect(readTracesJson(text!.body, wanted).records[0]!.name).toBe("POST");
    expect(plain!.headers["content-encoding"]).toBeUndefined();
    expect(scanTraces(plain!.body, wanted).records[0]!.name).toBe("POST");
    expect(destination.requests.map(({ path }) => path)).toEqual(["/v1/traces", "/v1/traces", "/v1/traces"]);
  });
});

describe("passing on", () => {
  it("does not change a byte, of any signal, in either format, also of fields that nobody knows", async () => {
    await using destination = await OtlpDestination.start();
    const controller = await start({ exports: [`${destination.url}/base`] });
    const unknown = Uint8Array.of(0xfa, 0x3e, 0x03, 1, 2, 3);
    const bodies: [string, Uint8Array, Record<string, string>][] = [
      ["/v1/traces", Buffer.concat([request, unknown]), protobuf],
      ["/v1/metrics", metricsRequest({ "service.name": "a" }, [{ metric: "x", value: 1 }]), protobuf],
      ["/v1/logs", Buffer.from(' { "resourceLogs" : [ ] , "later":1}\n'), json],
      ["/v1/traces", gzipSync(request, { level: 1 }), { ...protobuf, "content-encoding": "gzip" }],
    ];
    for (const [index, [path, body, headers]] of bodies.entries()) {
      expect((await post(controller, path, body, headers)).status).toBe(200);
      await destination.received(index + 1);
      const sent = destination.requests[index]!;
      expect(sent.path).toBe(`/base${path}`);
      expect(sent.body.equals(body)).toBe(true);
    }
  });
});

describe("garbage on the HTTP port", () => {
  it("is refused with a Status in the format of the request", async () => {
    const controller = await start();
    const inProtobuf = await post(controller, "/v1/traces", Buffer.from("no protobuf"), protobuf);
    expect(inProtobuf.status).toBe(400);
    expect(inProtobuf.headers.get("content-type")).toBe("application/x-protobuf");
    expect([...inProtobuf.body.subarray(0, 2)]).toEqual([0x08, 3]);
    const inJson = await post(controller, "/v1/traces", Buffer.from("{"), json);
    expect(inJson.status).toBe(400);
    expect(JSON.parse(inJson.body.toString())).toEqual({ code: 3, message: "the body is not JSON" });
    expect(controller.intake.refused.malformed).toBe(2);
    expect(controller.intake.accepted.traces).toBe(0);
  });

  it.each([
    ["another content type", "POST", "/v1/traces", { "content-type": "text/plain" }, 415],
    ["no content type", "POST", "/v1/traces", {}, 415],
    ["another compression", "POST", "/v1/traces", { ...protobuf, "content-encoding": "br" }, 415],
    ["another path", "POST", "/v1/profiles", protobuf, 404],
    ["another method", "PUT", "/v1/traces", protobuf, 405],
    ["what is not gzip", "POST", "/v1/traces", { ...protobuf, "content-encoding": "gzip" }, 400],
  ])("is refused: %s", async (_what, method, path, headers, expected) => {
    const controller = await start();
    const init: RequestInit = { method, body: Buffer.from("x"), headers };
    const response = await fetch(httpUrl(controller, path), init);
    expect(response.status).toBe(expected);
    await response.arrayBuffer();
  });

  it("is cut off at 20 MiB, announced or not, and the sender hears why", async () => {
    const controller = await start();
    const chunk = Buffer.alloc(1024 * 1024, 1);
    const large = Buffer.alloc(100 * 1024 * 1024, 1);
    expect((await post(controller, "/v1/traces", large, protobuf)).status).toBe(413);
    let sent = 0;
    const endless = new ReadableStream({
      pull(stream) {
        if (sent++ < 100) stream.enqueue(chunk);
        else stream.close();
      },
    });
    const init = { method: "POST", body: endless, headers: protobuf, duplex: "half" } as RequestInit;
    const response = await fetch(httpUrl(controller, "/v1/traces"), init);
    expect(response.status).toBe(413);
    expect(controller.intake.refused["too-large"]).toBe(2);
    expect((await post(controller, "/v1/traces", request, protobuf)).status).toBe(200);
  });

  it("is cut off at 20 MiB also when it only grows that large: a bomb of gzip", async () => {
    const controller = await start();
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 9 });
    expect(bomb.length).toBeLessThan(300_000);
    const refused = await post(controller, "/v1/traces", bomb, { ...protobuf, "content-encoding": "gzip" });
    expect(refused.status).toBe(413);
    expect(refused.body.toString()).toContain("when decompressed");
  });

  it("may be anything at all: random bytes on the socket", async () => {
    const controller = await start();
    for (const port of [controller.http.port, controller.grpc.port, controller.api.port]) {
      await new Promise<void>((resolve, reject) => {
        const socket = createConnection(port, "127.0.0.1", () => socket.end(Buffer.alloc(100_000, 0x9d)));
        socket.on("close", () => resolve());
        socket.on("error", (error: NodeJS.ErrnoException) => (error.code === "ECONNRESET" ? resolve() : reject(error)));
        socket.resume();
      });
    }
    expect((await post(controller, "/v1/traces", request, protobuf)).status).toBe(200);
  });
});

const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

function call(client: Client, message: Buffer, metadata = new Metadata()): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const bytes = (value: Buffer): Buffer => value;
    client.makeUnaryRequest(exportPath, bytes, bytes, message, metadata, (error, value) => {
      if (error === null) resolve(value!);
      else reject(error);
    });
  });
}

function codeOf(promise: Promise<unknown>): Promise<number> {
  return promise.then(
    () => status.OK,
    (error: ServiceError) => error.code,
  );
}

describe("garbage on the gRPC port", () => {
  it("is refused with the status that OTLP gives it, and the server goes on", async () => {
    const controller = await start();
    const options = { "grpc.max_send_message_length": -1 };
    const client = new Client(`127.0.0.1:${controller.grpc.port}`, credentials.createInsecure(), options);
    const zipping = new Client(`127.0.0.1:${controller.grpc.port}`, credentials.createInsecure(), {
      ...options,
      "grpc.default_compression_algorithm": 2,
    });
    expect(await codeOf(call(client, Buffer.from("no protobuf")))).toBe(status.INVALID_ARGUMENT);
    expect(await codeOf(call(client, Buffer.alloc(100 * 1024 * 1024)))).toBe(status.RESOURCE_EXHAUSTED);
    expect(await codeOf(call(zipping, Buffer.alloc(100 * 1024 * 1024)))).toBe(status.RESOURCE_EXHAUSTED);
    expect(await codeOf(call(client, Buffer.from(request)))).toBe(status.OK);
    expect(controller.intake.accepted.traces).toBe(1);
    client.close();
    zipping.close();
  });
});

describe("a controller that is short of memory", () => {
  it("refuses with answers after which senders try again, before it decompresses anything", async () => {
    const controller = await start({ maxRssBytes: 1 });
    const client = new Client(`127.0.0.1:${controller.grpc.port}`, credentials.createInsecure());
    const failure = await call(client, Buffer.from(request)).catch((error: ServiceError) => error);
    expect(failure).toMatchObject({ code: status.UNAVAILABLE });
    const [details] = (failure as ServiceError).metadata.get("grpc-status-details-bin");
    expect(String(details)).toContain("google.rpc.RetryInfo");
    const busy = await post(controller, "/v1/traces", request, protobuf);
    expect(busy.status).toBe(429);
    expect(busy.headers.get("retry-after")).toBe("1");
    expect(controller.intake.refused.busy).toBe(2);
    client.close();
  });
});

describe("a port that is taken", () => {
  it("is named with the option that changes it", async () => {
    const controller = await start();
    const { port } = controller.http;
    const { HttpReceiver } = await import("./http-receiver.ts");
    const { GrpcReceiver } = await import("./grpc-receiver.ts");
    const options = { host: "127.0.0.1", port, maxBodyBytes: 1 } as never;
    await expect(new HttpReceiver(options).start()).rejects.toThrow(
      `port ${port} on 127.0.0.1 is taken; choose another with --otlp-http-port`,
    );
    const grpc = new GrpcReceiver(options);
    await expect(grpc.start()).rejects.toThrow(/is taken; choose another with --otlp-grpc-port/);
  });
});
