import { type Clock, type Logger, silentLogger, systemClock } from "@holdfast/core";
import { memoryOverrideStore, type OverrideStore, parsePolicy } from "@holdfast/policy";
import { seededRandom } from "@holdfast/testkit";
import { Controller } from "../controller.ts";

export const testPolicy = `
apiVersion: holdfast.dev/v1alpha1
kind: Policy
namespace: test
targets:
  ledger:
    mode: enforce
    breaker: { failureRateThreshold: 50%, minimumCalls: 10, window: 10s }
    tuning:
      mode: apply
      bounds:
        breaker.failureRateThreshold: { min: 20%, max: 80%, maxStep: 15% }
  database:
    mode: enforce
    pool: { size: 4 }
    tuning:
      mode: apply
      bounds:
        pool.size: { min: 2, max: 20, maxStep: 4 }
  watched:
    tuning:
      mode: shadow
      bounds:
        breaker.failureRateThreshold: { min: 20%, max: 80%, maxStep: 15% }
`;

export interface TestControllerOptions {
  exports?: readonly string[] | undefined;
  clock?: Clock | undefined;
  logger?: Logger | undefined;
  store?: OverrideStore | undefined;
  data?: string | undefined;
  maxRssBytes?: number | undefined;
  maxTraces?: number | undefined;
}

/** A whole controller in this process, on free ports of 127.0.0.1. Closed by `close`. */
export async function startTestController(options: TestControllerOptions = {}): Promise<Controller> {
  const controller = new Controller({
    policy: parsePolicy(testPolicy),
    store: options.store ?? memoryOverrideStore(),
    settings: {
      windowMs: 10_000,
      intervalMs: 1_000,
      cooldownMs: 20_000,
      overrideTtlMs: 600_000,
      maxConnections: 100,
      reservedConnections: 3,
      shadowOnly: false,
    },
    host: "127.0.0.1",
    otlpGrpcPort: 0,
    otlpHttpPort: 0,
    apiPort: 0,
    exports: options.exports ?? [],
    data: options.data ?? ":memory:",
    maxTraces: options.maxTraces ?? 1_000,
    maxTraceBytes: 64 * 2 ** 20,
    maxRssBytes: options.maxRssBytes ?? 2 ** 40,
    author: "test",
    clock: options.clock ?? systemClock,
    random: seededRandom(1),
    logger: options.logger ?? silentLogger,
  });
  await controller.listen();
  return controller;
}
