import type { Clock, Logger, LogLevel, Random, StoryAttributes } from "@holdfast/core";
import type { ProbeOptions } from "@holdfast/lifecycle";
import type { X509Source } from "@holdfast/mtls";
import type { Mode, Policy } from "@holdfast/policy";
import type { Redis } from "ioredis";

/** Every option wins over its environment variable, and that over its default. All are optional. */
export interface HoldfastOptions {
  /** Who this is: `service.name`. Default OTEL_SERVICE_NAME, else `unknown_service`. */
  service?: string | undefined;
  /** Keeps fleets in one store apart. Default HOLDFAST_NAMESPACE, else the policy's, else "default". */
  namespace?: string | undefined;
  /** This instance, unique in the fleet. Default: service.instance.id of OTEL_RESOURCE_ATTRIBUTES, else HOSTNAME, else a random UUID. */
  instance?: string | undefined;
  /** `service.version`. Default: what OTEL_RESOURCE_ATTRIBUTES says. */
  version?: string | undefined;
  /** What fails together with this process. Default HOLDFAST_DOMAIN, else the host's name. */
  domain?: string | undefined;
  /** A policy document: its path, its text, or parsed. Default HOLDFAST_POLICY, else none: safe defaults that only observe. */
  policy?: string | Policy | undefined;
  /** The Redis that the fleet shares: a URL or an ioredis client of your own. Default HOLDFAST_REDIS_URL. null: none. */
  redis?: string | Redis | null | undefined;
  /** File of the embedded store, used when no Redis is named. Default HOLDFAST_SQLITE. null: none. */
  sqlite?: string | null | undefined;
  /** OTLP/gRPC endpoint. Default OTEL_EXPORTER_OTLP_ENDPOINT. null: nothing is exported. */
  otlp?: string | null | undefined;
  /** How often metrics are exported, in milliseconds. Default OTEL_METRIC_EXPORT_INTERVAL, else the policy's. */
  metricExportIntervalMs?: number | undefined;
  /** More attributes of the OpenTelemetry resource. */
  resource?: StoryAttributes | undefined;
  /** Overrides the mode of every target. Default HOLDFAST_MODE, else the policy's. */
  mode?: Mode | undefined;
  /** Where probes are answered; false: nowhere. Default HOLDFAST_PROBE_PORT and HOLDFAST_PROBE_HOST, else the policy's port on all addresses. */
  probe?: ProbeOptions | false | undefined;
  /** Folder of the crash recorder; false: none. Default HOLDFAST_STATE_DIR, else one below the temporary folder. */
  stateDir?: string | false | undefined;
  /** From SIGTERM to SIGKILL, in milliseconds. Default HOLDFAST_GRACE, else the policy's, else 30_000. */
  graceMs?: number | undefined;
  /** How long requests are still accepted after SIGTERM, in milliseconds. Default HOLDFAST_LAME_DUCK, else the policy's, else 5_000. */
  lameDuckMs?: number | undefined;
  /** Whether SIGTERM and SIGINT run the shutdown and end the process. Default true. */
  signals?: boolean | undefined;
  /** This process's SPIFFE identity: a folder with svid.pem, svid_key.pem and bundle.pem, or a source. Default: none. */
  mtls?: string | X509Source | undefined;
  /** Where `log` writes. Default: JSON lines on standard output. */
  logger?: Logger | undefined;
  /** The least level of the default logger, and of the log records that are exported. Default HOLDFAST_LOG_LEVEL, else "info". */
  logLevel?: LogLevel | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
  /** The environment. Default `process.env`. */
  env?: NodeJS.ProcessEnv | undefined;
}
