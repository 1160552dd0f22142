// Static imports first, as a service has them: by the time main runs, everything is loaded.
import http, { get } from "node:http";
import * as grpc from "@grpc/grpc-js";
import { trace } from "@opentelemetry/api";
import pg from "pg";
import { serveAndCall } from "./serve-and-call.mjs";

const early = trace.getTracer("early");
const telemetry = globalThis.startedBefore ?? (await import("./start.mjs")).telemetry;
early.startSpan("by an early tracer").end();
await serveAndCall({ http, get, grpc, pg });
console.log(JSON.stringify(await telemetry.shutdown(10_000)));
