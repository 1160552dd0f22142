const http = require("node:http");
const grpc = require("@grpc/grpc-js");
const pg = require("pg");

async function main() {
  const telemetry = globalThis.startedBefore ?? (await import("./start.mjs")).telemetry;
  const { serveAndCall } = await import("./serve-and-call.mjs");
  await serveAndCall({ http, get: http.get, grpc, pg });
  console.log(JSON.stringify(await telemetry.shutdown(10_000)));
}

void main();
