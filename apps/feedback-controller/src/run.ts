import { jsonLogger, type Logger, systemClock, systemRandom } from "@holdfast/core";
import { createLifecycle, type Lifecycle } from "@holdfast/lifecycle";
import { loadPolicyFile, memoryOverrideStore, type OverrideStore } from "@holdfast/policy";
import { redisOverrideStore } from "@holdfast/policy/redis";
import { sqliteOverrideStore } from "@holdfast/policy/sqlite";
import { startTelemetry, type Telemetry } from "@holdfast/telemetry";
import { Controller } from "./controller.ts";
import type { ControllerOptions } from "./options.ts";
import { reportOwnMetrics } from "./own-metrics.ts";

const SERVICE = "feedback-controller";
/** What of the last phase is kept for what comes after passing on. */
const SPARE_MS = 500;

/**
 * Runs the controller until the process is told to end.
 *
 * @throws PolicyError, HoldfastError: what is wrong, and which option would make it right
 */
export async function run(options: ControllerOptions): Promise<void> {
  const logger = jsonLogger({ level: options.logLevel, base: { name: SERVICE } });
  const policy = loadPolicyFile(options.policy);
  const { store, reachesFleet } = openStore(options, logger);
  const { maxConnections, reservedConnections, windowMs, intervalMs, cooldownMs, overrideTtlMs } = options;
  const controller = new Controller({
    ...options,
    policy,
    store,
    settings: {
      windowMs,
      intervalMs,
      cooldownMs,
      overrideTtlMs,
      maxConnections,
      reservedConnections,
      shadowOnly: options.shadow || !reachesFleet,
    },
    exports: options.export,
    maxTraceBytes: options.maxTraceMib * 2 ** 20,
    maxRssBytes: options.maxMemoryMib * 2 ** 20,
    author: `${SERVICE}/${process.env.HOSTNAME ?? process.pid}`,
    clock: systemClock,
    random: systemRandom,
    logger,
  });
  await controller.listen();
  // Our own telemetry takes the way of everybody's: received, kept, passed on. Nothing of ours is instrumented, because
  // a span for each request that brings spans would never end.
  const telemetry = startTelemetry({
    service: SERVICE,
    namespace: policy.namespace,
    endpoint: `http://${loopback(options.host)}:${controller.grpc.port}`,
    instrumentations: false,
    logger,
  });
  reportOwnMetrics(controller);
  const lifecycle = await startLifecycle(options, telemetry, logger).catch(async (error: unknown) => {
    await telemetry.shutdown(1_000);
    await controller.close(0);
    throw error;
  });
  orderShutdown(lifecycle, controller, telemetry, logger);
  controller.decide(telemetry.sink);
  lifecycle.ready();
  const { grpc, http, api } = controller;
  logger.info(
    {
      host: options.host,
      otlpGrpcPort: grpc.port,
      otlpHttpPort: http.port,
      apiPort: api.port,
      probes: lifecycle.probeUrl,
      export: options.export,
      data: options.data,
      windowMs,
      intervalMs,
      cooldownMs,
      maxConnections: maxConnections ?? null,
    },
    "feedback controller ready",
  );
  await lifecycle.tellPreviousDeath().catch(() => null);
}

function openStore(options: ControllerOptions, logger: Logger): { store: OverrideStore; reachesFleet: boolean } {
  const { redis, sqlite } = options;
  if (redis !== undefined) return { store: redisOverrideStore({ redis, logger }), reachesFleet: true };
  if (sqlite !== undefined) return { store: sqliteOverrideStore({ file: sqlite, logger }), reachesFleet: true };
  logger.warn({}, "neither --redis nor --sqlite is given: decisions are told, and reach nobody (shadow)");
  return { store: memoryOverrideStore(), reachesFleet: false };
}

function startLifecycle(options: ControllerOptions, telemetry: Telemetry, logger: Logger): Promise<Lifecycle> {
  const { probePort, probeHost, stateDir, graceMs, lameDuckMs } = options;
  return createLifecycle({
    service: SERVICE,
    instance: String(telemetry.resource["service.instance.id"]),
    probe: { port: probePort, host: probeHost },
    stateDir,
    graceMs,
    lameDuckMs,
    sink: telemetry.sink,
    resource: telemetry.resource,
    logger,
  });
}

function orderShutdown(lifecycle: Lifecycle, controller: Controller, telemetry: Telemetry, logger: Logger): void {
  lifecycle.onShutdown("drain", "decisions", () => controller.stopDeciding());
  // Last of all: the shutdown's own spans still come in through our receiver, and are passed on like the others.
  lifecycle.setLast("telemetry", async ({ deadlineMs }) => {
    const startedAtMs = performance.now();
    const result = await telemetry.shutdown(Math.max(0, deadlineMs / 2));
    logger.info({ ...result }, "telemetry closed");
    await controller.close(Math.max(0, deadlineMs - SPARE_MS - (performance.now() - startedAtMs)));
  });
}

/** Listening on every address, we are found on the loopback one. */
function loopback(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
