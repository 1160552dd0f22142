import type { IncomingMessage } from "node:http";
import { processGlobal } from "@holdfast/core";
import type { Instrumentation } from "@opentelemetry/instrumentation";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { PgInstrumentation } from "@opentelemetry/instrumentation-pg";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { grpcInstrumentation } from "./grpc-instrumentation.ts";
import { patchLoadedModules, patchModulesToCome } from "./loaded-modules.ts";

/** The kubelet's probes and preStop hooks: they come every few seconds, for ever, and nobody asks after one of them. */
const PROBE_AGENT = /^kube-(probe|lifecycle)\//;

/**
 * http and https servers and clients, undici and fetch, grpc-js and pg, patched wherever they are loaded: before this call
 * or after it, by require or by import. Once in a process: patches can't be stacked, and the hooks behind them stay.
 */
export function instrumentations(): Instrumentation[] {
  return processGlobal("instrumentations", 1, () => {
    const made = [
      new HttpInstrumentation({ ignoreIncomingRequestHook: isProbe }),
      new UndiciInstrumentation(),
      grpcInstrumentation(),
      new PgInstrumentation(),
    ];
    patchLoadedModules();
    patchModulesToCome();
    return made;
  });
}

function isProbe(request: IncomingMessage): boolean {
  return PROBE_AGENT.test(request.headers["user-agent"] ?? "");
}
