import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  attr,
  type Clock,
  jsonLinesSink,
  jsonLogger,
  type Logger,
  numberOption,
  type StoryAttributes,
  type StorySink,
  systemClock,
} from "@holdfast/core";
import type { LifecycleOptions } from "./lifecycle.ts";
import { resolveShutdownBudget, type ShutdownBudget } from "./shutdown/shutdown-budget.ts";

export interface ResolvedOptions {
  service: string;
  instance: string;
  probe: { port: number; host: string } | null;
  stateDir: string | null;
  budget: ShutdownBudget;
  livenessStallMs: number;
  readinessStallMs: number;
  sink: StorySink;
  resource: StoryAttributes;
  signals: boolean;
  exit: (code: number) => void;
  logger: Logger;
  clock: Clock;
}

/** @throws TypeError or RangeError naming option and value; RangeError with the sum when the shutdown does not fit the grace */
export function resolveLifecycleOptions(options: LifecycleOptions): ResolvedOptions {
  const { service, instance = randomUUID(), stateDir, probe = {}, clock = systemClock } = options;
  if (typeof service !== "string" || service === "") throw new TypeError("service must be a name");
  if (typeof instance !== "string" || instance === "") throw new TypeError("instance must be a name");
  const readinessStallMs = numberOption("readinessStallMs", options.readinessStallMs, 1_000, { min: 250 });
  const livenessStallMs = numberOption("livenessStallMs", options.livenessStallMs, Math.max(10_000, readinessStallMs), {
    min: readinessStallMs,
  });
  return {
    service,
    instance,
    probe: probe === false ? null : { port: portOption(probe.port), host: probe.host ?? "0.0.0.0" },
    stateDir: stateDir === false ? null : (stateDir ?? defaultStateDir(service)),
    budget: resolveShutdownBudget(options),
    livenessStallMs,
    readinessStallMs,
    sink: options.sink ?? jsonLinesSink(),
    resource: options.resource ?? { [attr.serviceName]: service, [attr.serviceInstanceId]: instance },
    signals: options.signals ?? true,
    exit: options.exit ?? ((code) => process.exit(code)),
    logger: options.logger ?? jsonLogger({ clock }),
    clock,
  };
}

function portOption(port: number | undefined): number {
  return numberOption("probe.port", port, 9_090, { min: 0, max: 65_535, integer: true });
}

function defaultStateDir(service: string): string {
  const user = process.getuid?.() ?? "user";
  return join(tmpdir(), `holdfast-${user}`, service.replace(/[^A-Za-z0-9_-]/g, "_"));
}
