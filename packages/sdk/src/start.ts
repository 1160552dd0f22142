import { type BreakerRegistry, createBreakers } from "@holdfast/breaker";
import { attr, type Clock, jsonLogger, type Logger, messageOf, systemClock, systemRandom } from "@holdfast/core";
import { createLifecycle } from "@holdfast/lifecycle";
import { openSvidFiles, type X509Source } from "@holdfast/mtls";
import { livePolicy } from "@holdfast/policy";
import { startTelemetry } from "@holdfast/telemetry";
import type { Holdfast } from "./holdfast.ts";
import { missingParts } from "./missing-parts.ts";
import type { HoldfastOptions } from "./options.ts";
import { echoPolicy } from "./policy-echo.ts";
import { registered } from "./registered.ts";
import { resolveSettings } from "./settings.ts";
import { openStores } from "./stores.ts";
import { Targets } from "./targets.ts";
import { closeTelemetry, troubleOnly } from "./telemetry-lines.ts";
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

/** Starts everything, whatever was started before. What started before something failed is taken back. */
export async function start(options: HoldfastOptions): Promise<Holdfast> {
  const { clock = systemClock, random = systemRandom } = options;
  const settings = resolveSettings(options);
  const { service, namespace } = settings;
  const lines = (base: object): Logger =>
    options.logger ?? jsonLogger({ level: settings.logLevel, base: { service, ...base }, clock });
  await using undo = new AsyncDisposableStack();

  const telemetry = startTelemetry({
    service,
    // An unnamed namespace is no attribute: it would say nothing.
    namespace: namespace === "default" ? undefined : namespace,
    instance: options.instance,
    version: options.version,
    resource: options.resource,
    endpoint: options.otlp,
    metricExportIntervalMs: settings.metricExportIntervalMs,
    logger: troubleOnly(lines({})),
    clock,
    random,
  });
  undo.defer(async () => void (await telemetry.shutdown(UNDO_MS)));
  const instance = String(telemetry.resource[attr.serviceInstanceId]);
  const plain = lines({ instance });
  const log = telemetry.logger(plain, settings.logLevel);

  const identity = await openIdentity(options.mtls, log, clock);
  // A source that was given belongs to who gave it.
  if (typeof options.mtls === "string") undo.use(identity);
  const lifecycle = undo.use(
    await createLifecycle({
      ...settings.lifecycle,
      service,
      instance,
      signals: options.signals,
      sink: telemetry.sink,
      resource: telemetry.resource,
      logger: log,
      clock,
    }),
  );
  const stores = await openStores(settings, { logger: log, clock, random });
  undo.defer(() => stores.close());
  const policy = undo.use(
    livePolicy({ policy: settings.policy, service, namespace, store: stores.overrides, logger: log, clock }),
  );
  const shared = { store: stores.breakers, identity: { namespace, service, domain: settings.domain, instance } };
  const breakers: BreakerRegistry = createBreakers({ ...shared, logger: log, clock, random });
  const targets = new Targets({ policy, breakers, ...shared, mode: settings.mode, logger: log, clock, random });
  const pools = new TunedPools({ policy, logger: log, clock });
  const stopEcho = echoPolicy(policy);

  telemetry.addObserver(lifecycle.observer);
  // While breakers and pools can still be measured: the last hook comes after they are gone.
  lifecycle.onShutdown("flush", "telemetry", ({ deadlineMs }) =>
    telemetry.forceFlush(Math.min(deadlineMs, LAST_METRICS_MS)),
  );
  lifecycle.onShutdown("release", "holdfast", async () => {
    pools.close();
    stopEcho();
    await targets.close();
    await policy.close();
    await stores.close();
    if (typeof options.mtls === "string") await identity?.close();
  });
  lifecycle.setLast("telemetry", ({ deadlineMs }) => closeTelemetry(telemetry, plain, deadlineMs));

  const missing = missingParts({ policyNamed: settings.policyNamed, store: stores.kind, endpoint: telemetry.endpoint });
  log.info(
    { store: stores.kind, probes: lifecycle.probeUrl, ...missing },
    missing ? "holdfast started without some of its parts" : "holdfast started",
  );
  // In the background: the receiver of the story may be down, and the service is not to wait for it.
  lifecycle.tellPreviousDeath().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, "how the previous process ended could not be told yet");
  });
  undo.move();
  return new WiredHoldfast({ service, namespace, log, lifecycle, policy, telemetry, identity, targets, pools });
}

/** A collector that is gone must not cost more of the grace than this before telemetry closes. */
const LAST_METRICS_MS = 1_000;
/** What a start that failed may spend on telling of it. */
const UNDO_MS = 1_000;

async function openIdentity(
  mtls: string | X509Source | undefined,
  logger: Logger,
  clock: Clock,
): Promise<X509Source | null> {
  if (typeof mtls !== "string") return mtls ?? null;
  return openSvidFiles({ directory: mtls, logger, clock });
}
