import { type BreakerRegistry, createBreakers } from "@holdfast/breaker";
import { attr, jsonLogger, type Logger, messageOf, systemClock, systemRandom } from "@holdfast/core";
import { createLifecycle, type Lifecycle } from "@holdfast/lifecycle";
import { openSvidFiles, type X509Source } from "@holdfast/mtls";
import { livePolicy } from "@holdfast/policy";
import { startTelemetry, type Telemetry } from "@holdfast/telemetry";
import type { Holdfast } from "./holdfast.ts";
import { missingParts } from "./missing-parts.ts";
import type { HoldfastOptions } from "./options.ts";
import { echoPolicy } from "./policy-echo.ts";
import { registered } from "./registered.ts";
import { resolveSettings, type Settings } from "./settings.ts";
import { openStores } from "./stores.ts";
import { Targets } from "./targets.ts";
import { TunedPools } from "./tuned-pools.ts";
import { WiredHoldfast } from "./wired-holdfast.ts";

/**
 * Starts everything: telemetry, probes and crash recorder, the policy and its overrides, breakers that the fleet shares.
 * Without policy, Redis and collector it runs on safe defaults and says in one line what is missing.
 *
 * Call it first in main. Where `--import @holdfast/sdk/register` did already, that one is returned.
 *
 * @throws PolicyError listing everything that is wrong with the policy
 * @throws TypeError or RangeError naming the option or the environment variable that is wrong
 * @throws HoldfastError "PROBE_PORT_TAKEN" naming the port
 */
export async function holdfast(options: HoldfastOptions = {}): Promise<Holdfast> {
  const before = await registered.current;
  if (before) {
    if (options.service !== undefined && options.service !== before.service)
      before.log.warn(
        { service: before.service, ignored: options.service },
        "holdfast was started by --import already: name the service with OTEL_SERVICE_NAME",
      );
    return before;
  }
  return start(options);
}

/** Starts everything, whatever was started before. */
export async function start(options: HoldfastOptions): Promise<Holdfast> {
  const { clock = systemClock, random = systemRandom } = options;
  const settings = resolveSettings(options);
  const { service, namespace } = settings;
  const lines = (base: object): Logger =>
    options.logger ?? jsonLogger({ level: settings.logLevel, base: { service, ...base }, clock });
  const telemetry = startTelemetry({
    service,
    namespace: options.namespace,
    instance: options.instance,
    version: options.version,
    resource: options.resource,
    endpoint: options.otlp,
    metricExportIntervalMs: settings.metricExportIntervalMs,
    // That nothing is exported stands in the one line about all that is missing.
    logger: { ...lines({}), info() {} },
    clock,
    random,
  });
  const instance = String(telemetry.resource[attr.serviceInstanceId]);
  const plain = lines({ instance });
  const log = telemetry.logger(plain, settings.logLevel);
  let identity: X509Source | null = null;
  let lifecycle: Lifecycle;
  try {
    if (typeof options.mtls === "string")
      identity = await openSvidFiles({ directory: options.mtls, logger: log, clock });
    else identity = options.mtls ?? null;
    lifecycle = await createLifecycle({
      ...lifecycleSettings(settings, options),
      instance,
      sink: telemetry.sink,
      resource: telemetry.resource,
      logger: log,
      clock,
    });
  } catch (error) {
    await telemetry.shutdown(1_000);
    throw error;
  }
  telemetry.addObserver(lifecycle.observer);
  // While breakers and pools can still be measured: the last hook comes after they are gone.
  lifecycle.onShutdown("flush", "telemetry", ({ deadlineMs }) =>
    telemetry.forceFlush(Math.min(deadlineMs, LAST_METRICS_MS)),
  );
  lifecycle.setLast("telemetry", ({ deadlineMs }) => closeTelemetry(telemetry, plain, deadlineMs));

  const stores = await openStores(settings, { logger: log, clock, random });
  const policy = livePolicy({
    policy: settings.policy,
    service,
    namespace,
    store: stores.overrides,
    logger: log,
    clock,
  });
  const shared = { store: stores.breakers, identity: { namespace, service, domain: settings.domain, instance } };
  const breakers: BreakerRegistry = createBreakers({ ...shared, logger: log, clock, random });
  const targets = new Targets({ policy, breakers, ...shared, mode: settings.mode, logger: log, clock, random });
  const pools = new TunedPools({ policy, logger: log, clock });
  const stopEcho = echoPolicy(policy);
  lifecycle.onShutdown("release", "holdfast", async () => {
    pools.close();
    stopEcho();
    await targets.close();
    await policy.close();
    await stores.close();
    // A source that was given belongs to who gave it.
    if (typeof options.mtls === "string") await identity?.close();
  });

  const missing = missingParts({ policyNamed: settings.policyNamed, store: stores.kind, endpoint: telemetry.endpoint });
  log.info(
    { store: stores.kind, probes: lifecycle.probeUrl, ...missing },
    missing ? "holdfast started without some of its parts" : "holdfast started",
  );
  // In the background: the receiver of the story may be down, and the service is not to wait for it.
  lifecycle.tellPreviousDeath().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, "how the previous process ended could not be told yet");
  });
  return new WiredHoldfast({ service, namespace, log, lifecycle, policy, telemetry, identity, targets, pools });
}

function lifecycleSettings(settings: Settings, options: HoldfastOptions) {
  const { service, probe, stateDir, graceMs, lameDuckMs, livenessStallMs, readinessStallMs } = settings;
  const { signals } = options;
  return { service, probe, stateDir, graceMs, lameDuckMs, livenessStallMs, readinessStallMs, signals };
}

/** A collector that is gone must not cost more of the grace than this before telemetry closes. */
const LAST_METRICS_MS = 1_000;
/** Kept back so that the line below comes before the hook's time is up. */
const LINE_RESERVE_MS = 100;

async function closeTelemetry(telemetry: Telemetry, logger: Logger, deadlineMs: number): Promise<void> {
  const { clean, ...result } = await telemetry.shutdown(Math.max(0, deadlineMs - LINE_RESERVE_MS));
  logger[clean ? "info" : "warn"]({ ...result }, "telemetry closed");
}
