import { type LogLevel, parseDuration, wordOption } from "@holdfast/core";
import type { ProbeOptions } from "@holdfast/lifecycle";
import { defaultPolicy, loadPolicyFile, type Mode, type Policy, parsePolicy } from "@holdfast/policy";
import type { Redis } from "ioredis";
import type { HoldfastOptions } from "./options.ts";

/** Everything decided: option over environment over policy over default. Undefined: the part that takes it has a default. */
export interface Settings {
  service: string;
  namespace: string;
  domain: string | undefined;
  policy: Policy;
  /** Whether somebody wrote the policy, or it is the defaults'. */
  policyNamed: boolean;
  redis: string | Redis | null;
  sqlite: string | null;
  metricExportIntervalMs: number | undefined;
  mode: Mode | undefined;
  lifecycle: LifecycleSettings;
  logLevel: LogLevel;
}

export interface LifecycleSettings {
  probe: ProbeOptions | false;
  stateDir: string | false | undefined;
  graceMs: number;
  lameDuckMs: number;
  livenessStallMs: number;
  readinessStallMs: number;
}

const MODES = ["enforce", "observe", "off"] as const;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/**
 * Reads options, environment and policy.
 *
 * @throws PolicyError when the policy is wrong; TypeError or RangeError naming the option or the variable that is
 */
export function resolveSettings(options: HoldfastOptions): Settings {
  const env = options.env ?? process.env;
  const variable = (name: string): string | undefined => env[name]?.trim() || undefined;
  const read = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const text = variable(name);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      throw new RangeError(`${name}: ${(error as Error).message}`, { cause: error });
    }
  };
  const policyOption = options.policy ?? variable("HOLDFAST_POLICY");
  const policy = readPolicy(policyOption);
  const { lifecycle, telemetry } = policy;
  return {
    service: options.service ?? variable("OTEL_SERVICE_NAME") ?? "unknown_service",
    namespace: options.namespace ?? variable("HOLDFAST_NAMESPACE") ?? policy.namespace,
    domain: options.domain ?? variable("HOLDFAST_DOMAIN"),
    policy,
    policyNamed: policyOption !== undefined,
    redis: options.redis === undefined ? (variable("HOLDFAST_REDIS_URL") ?? null) : options.redis,
    sqlite: options.sqlite === undefined ? (variable("HOLDFAST_SQLITE") ?? null) : options.sqlite,
    metricExportIntervalMs:
      options.metricExportIntervalMs ??
      (variable("OTEL_METRIC_EXPORT_INTERVAL") === undefined ? telemetry.metricExportIntervalMs : undefined),
    mode:
      options.mode === undefined
        ? readMode(variable("HOLDFAST_MODE"))
        : wordOption("mode", options.mode, "observe", MODES),
    lifecycle: {
      probe:
        options.probe === false
          ? false
          : {
              port: options.probe?.port ?? read("HOLDFAST_PROBE_PORT", portOf) ?? lifecycle.probePort,
              host: options.probe?.host ?? variable("HOLDFAST_PROBE_HOST"),
            },
      stateDir: options.stateDir ?? variable("HOLDFAST_STATE_DIR"),
      graceMs: options.graceMs ?? read("HOLDFAST_GRACE", parseDuration) ?? lifecycle.graceMs,
      lameDuckMs: options.lameDuckMs ?? read("HOLDFAST_LAME_DUCK", parseDuration) ?? lifecycle.lameDuckMs,
      livenessStallMs: lifecycle.livenessStallMs,
      readinessStallMs: lifecycle.readinessStallMs,
    },
    logLevel: options.logLevel
      ? wordOption("logLevel", options.logLevel, "info", LEVELS)
      : wordOption("HOLDFAST_LOG_LEVEL", variable("HOLDFAST_LOG_LEVEL"), "info", LEVELS),
  };
}

function readMode(text: string | undefined): Mode | undefined {
  return text === undefined ? undefined : wordOption("HOLDFAST_MODE", text, "observe", MODES);
}

/** A text that looks like a document is one; else it is the path of one. */
function readPolicy(policy: string | Policy | undefined): Policy {
  if (policy === undefined) return defaultPolicy();
  if (typeof policy !== "string") return policy;
  return /[\n{]/.test(policy) ? parsePolicy(policy) : loadPolicyFile(policy);
}

function portOf(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new RangeError(`"${text}" is not a port: write a whole number from 0 to 65535`);
  return Number(text);
}
