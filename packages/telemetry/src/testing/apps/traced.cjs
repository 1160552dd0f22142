const http = require("node:http");
const grpc = require("@grpc/grpc-js");
const { trace } = require("@opentelemetry/api");
const pg = require("pg");

const early = trace.getTracer("early");

async function main() {
  const telemetry = globalThis.startedBefore ?? (await import("./start.mjs")).telemetry;
  const { serveAndCall } = await import("./serve-and-call.mjs");
  early.startSpan("by an early tracer").end();
  await serveAndCall({ http, get: http.get, grpc, pg });
  console.log(JSON.stringify(await telemetry.shutdown(10_000)));
}

void main();
