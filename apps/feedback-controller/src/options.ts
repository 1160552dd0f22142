import { readFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatDuration, HoldfastError, type LogLevel, messageOf } from "@holdfast/core";
import { parse as parseYaml } from "yaml";
import { duration, fileKey, type OptionRow, text, whole } from "./option-table.ts";

/** Everything the controller can be told, resolved: durations in milliseconds. */
export interface ControllerOptions {
  policy: string;
  redis: string | undefined;
  sqlite: string | undefined;
  host: string;
  otlpGrpcPort: number;
  otlpHttpPort: number;
  apiPort: number;
  probePort: number;
  probeHost: string;
  /** Base URLs of OTLP/HTTP endpoints. */
  export: readonly string[];
  data: string;
  stateDir: string | undefined;
  windowMs: number;
  intervalMs: number;
  cooldownMs: number;
  overrideTtlMs: number;
  maxConnections: number | undefined;
  reservedConnections: number;
  shadow: boolean;
  maxTraces: number;
  maxTraceMib: number;
  maxMemoryMib: number;
  graceMs: number;
  lameDuckMs: number;
  logLevel: LogLevel;
}

const PORT = { min: 0, max: 65_535 };
const HOUR = 3_600_000;
/** Telemetry is some 5 to 35 s old when it comes; a cooldown must outlast it twice. */
const ASSUMED_DELAY_MS = 35_000;

/** In the order of the help. Defaults are those for production. */
const rows = {
  policy: text("policy", "FILE", "policy document of the fleet (required)", ["HOLDFAST_POLICY"]),
  redis: text("redis", "URL", "where overrides are written: the fleet's Redis", ["HOLDFAST_REDIS_URL"]),
  sqlite: text("sqlite", "FILE", "or its embedded store, on one host", ["HOLDFAST_SQLITE"]),
  host: text("host", "ADDRESS", "address that telemetry and the API are served on"),
  otlpGrpcPort: whole("otlp-grpc-port", "PORT", "OTLP over gRPC; 0 takes any free one", PORT),
  otlpHttpPort: whole("otlp-http-port", "PORT", "OTLP over HTTP", PORT),
  apiPort: whole("api-port", "PORT", "read-only JSON API", PORT),
  probePort: whole("probe-port", "PORT", "probes of the controller itself", PORT, ["HOLDFAST_PROBE_PORT"]),
  probeHost: text("probe-host", "ADDRESS", "address that probes are served on", ["HOLDFAST_PROBE_HOST"]),
  data: text("data", "FILE", "own file for recent traces and the audit of decisions"),
  stateDir: text("state-dir", "DIR", "folder of the crash recorder", ["HOLDFAST_STATE_DIR"]),
  window: duration("window", "what signals are taken over", { min: 1_000, max: HOUR }),
  interval: duration("interval", "time between two looks", { min: 100, max: HOUR }),
  cooldown: duration("cooldown", "least time from a change's echo to its verdict, at least two windows", {
    min: 2_000,
    max: 24 * HOUR,
  }),
  overrideTtl: duration("override-ttl", "how long a value counts when nobody renews it", {
    min: 5_000,
    max: 24 * HOUR,
  }),
  maxConnections: whole("max-connections", "N", "max_connections of the database; without it no pool grows", {
    min: 1,
    max: 1_000_000,
  }),
  reservedConnections: whole("reserved-connections", "N", "those of them that are not for pools", {
    min: 0,
    max: 1_000_000,
  }),
  maxTraces: whole("max-traces", "N", "recent traces kept", { min: 1, max: 10_000_000 }),
  maxTraceMib: whole("max-trace-mib", "MIB", "size of their spans", { min: 1, max: 1_000_000 }),
  maxMemoryMib: whole("max-memory-mib", "MIB", "resident memory above which telemetry is refused for a while", {
    min: 128,
    max: 1_000_000,
  }),
  grace: duration("grace", "what the platform grants from SIGTERM to SIGKILL", { min: 2_000, max: HOUR }, [
    "HOLDFAST_GRACE",
  ]),
  lameDuck: duration("lame-duck", "how long telemetry is still accepted after SIGTERM", { min: 0, max: HOUR }, [
    "HOLDFAST_LAME_DUCK",
  ]),
  logLevel: text("log-level", "LEVEL", "debug, info, warn or error", ["HOLDFAST_LOG_LEVEL"]),
} satisfies Record<string, OptionRow<string> | OptionRow<number>>;

const exportRow = text("export", "URL", "OTLP/HTTP endpoint that everything is passed on to; may be repeated");

/** Wrong options. The message has one line for each, with what would be right. */
export class OptionsError extends HoldfastError<"OPTIONS_INVALID"> {
  override readonly name: string = "OptionsError";

  constructor(problems: readonly string[]) {
    super("OPTIONS_INVALID", problems.join("\n"));
  }
}

type Texts = Partial<Record<string, string | string[] | boolean>>;

/**
 * Resolves flags, environment and options file, the first that says something wins.
 *
 * @returns undefined when only help was asked for
 * @throws OptionsError with everything that is wrong
 */
export function resolveOptions(args: readonly string[], env: NodeJS.ProcessEnv): ControllerOptions | undefined {
  const problems: string[] = [];
  const flags = readFlags(args);
  if (flags.help === true) return undefined;
  const file = readOptionsFile(flags.config ?? env.CONTROLLER_CONFIG, problems);
  const said = <Value>(row: OptionRow<Value>): Value | undefined => {
    const sources: [string, unknown][] = [
      [`--${row.flag}`, flags[row.flag]],
      ...row.env.map((name): [string, unknown] => [name, env[name] === "" ? undefined : env[name]]),
      [`controller.${fileKey(row.flag)}`, file[fileKey(row.flag)]],
    ];
    const [name, value] = sources.find(([, given]) => given !== undefined) ?? [];
    if (value === undefined) return undefined;
    try {
      return row.parse(written(value));
    } catch (error) {
      problems.push(`${name} ${messageOf(error)}`);
      return undefined;
    }
  };
  const windowMs = said(rows.window) ?? 60_000;
  const options: ControllerOptions = {
    policy: said(rows.policy) ?? "",
    redis: said(rows.redis),
    sqlite: said(rows.sqlite),
    host: said(rows.host) ?? "127.0.0.1",
    otlpGrpcPort: said(rows.otlpGrpcPort) ?? 4317,
    otlpHttpPort: said(rows.otlpHttpPort) ?? 4318,
    apiPort: said(rows.apiPort) ?? 4320,
    probePort: said(rows.probePort) ?? 9090,
    probeHost: said(rows.probeHost) ?? "0.0.0.0",
    export: exportsOf(flags.export, env.CONTROLLER_EXPORT, file.export),
    data: said(rows.data) ?? join(tmpdir(), `holdfast-${userInfo().uid}`, "feedback-controller", "controller.sqlite"),
    stateDir: said(rows.stateDir),
    windowMs,
    intervalMs: said(rows.interval) ?? 15_000,
    cooldownMs: said(rows.cooldown) ?? 2 * (windowMs + ASSUMED_DELAY_MS),
    overrideTtlMs: said(rows.overrideTtl) ?? 600_000,
    maxConnections: said(rows.maxConnections),
    reservedConnections: said(rows.reservedConnections) ?? 3,
    shadow: flags.shadow === true || env.CONTROLLER_SHADOW === "1" || file.shadow === true,
    maxTraces: said(rows.maxTraces) ?? 10_000,
    maxTraceMib: said(rows.maxTraceMib) ?? 256,
    maxMemoryMib: said(rows.maxMemoryMib) ?? defaultMemoryMib(),
    graceMs: said(rows.grace) ?? 30_000,
    lameDuckMs: said(rows.lameDuck) ?? 5_000,
    logLevel: (said(rows.logLevel) ?? "info") as LogLevel,
  };
  problems.push(...contradictions(options));
  if (problems.length > 0) throw new OptionsError(problems);
  return options;
}

/** YAML makes numbers of what looks like one; lists and maps are no option's value. */
function written(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  throw new RangeError("must be text or a number");
}

function contradictions(options: ControllerOptions): string[] {
  const problems: string[] = [];
  const { policy, redis, sqlite, windowMs, cooldownMs, intervalMs, logLevel } = options;
  if (policy === "") problems.push("--policy is missing: name the policy document of the fleet");
  if (redis !== undefined && sqlite !== undefined) problems.push("--redis and --sqlite exclude each other: name one");
  if (cooldownMs < 2 * windowMs)
    problems.push(
      `--cooldown ${formatDuration(cooldownMs)} is shorter than two windows (--window ${formatDuration(windowMs)}): a change would be judged by what happened before it`,
    );
  if (intervalMs > windowMs)
    problems.push(
      `--interval ${formatDuration(intervalMs)} is longer than the window (--window ${formatDuration(windowMs)}): what happens between two looks would be missed`,
    );
  if (!["debug", "info", "warn", "error"].includes(logLevel))
    problems.push(`--log-level must be debug, info, warn or error, not "${logLevel}"`);
  for (const url of options.export) {
    const protocol = URL.canParse(url) ? new URL(url).protocol : "";
    if (protocol !== "http:" && protocol !== "https:")
      problems.push(`--export must be a URL such as http://jaeger:4318, not "${url}"`);
  }
  return problems;
}

function readFlags(args: readonly string[]): Texts {
  const options: Record<string, { type: "string" | "boolean"; multiple?: boolean; short?: string }> = {
    help: { type: "boolean", short: "h" },
    shadow: { type: "boolean" },
    config: { type: "string" },
    [exportRow.flag]: { type: "string", multiple: true },
  };
  for (const { flag } of Object.values(rows)) options[flag] = { type: "string" };
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Texts;
  } catch (error) {
    const [sentence] = messageOf(error).split(". ");
    throw new OptionsError([`${sentence}; see --help`]);
  }
}

/** The options file: YAML or JSON with one key, `controller`, whose keys are the flags in camelCase. */
function readOptionsFile(path: unknown, problems: string[]): Record<string, unknown> {
  if (typeof path !== "string" || path === "") return {};
  let document: unknown;
  try {
    document = parseYaml(readFileSync(path, "utf8"), { maxAliasCount: 0 });
  } catch (error) {
    problems.push(`--config ${path} cannot be read: ${messageOf(error)}`);
    return {};
  }
  if (!isMap(document) || !isMap(document.controller) || Object.keys(document).length > 1) {
    problems.push(`--config ${path} must hold one key, "controller", with a map of options`);
    return {};
  }
  const known = new Set([...Object.values(rows).map(({ flag }) => fileKey(flag)), "export", "shadow"]);
  for (const key of Object.keys(document.controller))
    if (!known.has(key)) problems.push(`controller.${key} in ${path} is no option; there are ${[...known].join(", ")}`);
  return document.controller;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function exportsOf(flag: unknown, variable: string | undefined, file: unknown): string[] {
  if (Array.isArray(flag)) return flag.map(String);
  if (variable !== undefined && variable !== "") return variable.split(",").map((url) => url.trim());
  if (Array.isArray(file)) return file.map(String);
  return typeof file === "string" ? [file] : [];
}

/** Three quarters of what a container grants, else 1 GiB. */
function defaultMemoryMib(): number {
  const granted = process.constrainedMemory();
  const mib = granted > 0 && granted < 2 ** 50 ? (granted * 0.75) / 2 ** 20 : 1_024;
  return Math.max(128, Math.floor(Math.min(mib, 1_024)));
}

const DEFAULTS: Readonly<Partial<Record<keyof typeof rows, string>>> = {
  host: "127.0.0.1",
  otlpGrpcPort: "4317",
  otlpHttpPort: "4318",
  apiPort: "4320",
  probePort: "9090",
  probeHost: "0.0.0.0",
  data: "in the temporary folder",
  stateDir: "in the temporary folder",
  window: "60s",
  interval: "15s",
  cooldown: "2 x (window + 35s)",
  overrideTtl: "10m",
  reservedConnections: "3",
  maxTraces: "10000",
  maxTraceMib: "256",
  maxMemoryMib: "1024, less in a small container",
  grace: "30s",
  lameDuck: "5s",
  logLevel: "info",
};

/** What --help prints. */
export function helpText(): string {
  const lines = Object.entries(rows).map(([name, row]) => {
    const byDefault = DEFAULTS[name as keyof typeof rows];
    return helpLine(`--${row.flag} ${row.takes}`, byDefault === undefined ? row.help : `${row.help} (${byDefault})`);
  });
  lines.splice(9, 0, helpLine("--export URL", exportRow.help));
  return `Holdfast's feedback controller: OTLP in, OTLP out; decides from telemetry within the policy's bounds.

  feedback-controller --policy FILE (--redis URL | --sqlite FILE) [options]

${lines.join("\n")}
${helpLine("--shadow", "decide and tell, change nothing, whatever the policy says")}
${helpLine("--config FILE", "options file: YAML with one key, controller, and the options below it in camelCase")}
${helpLine("--help", "this text")}

Every option can be given in the environment: --otlp-grpc-port as CONTROLLER_OTLP_GRPC_PORT. A flag wins over the
environment, the environment over the options file. Durations are written 500ms, 5s, 2m or 1h.
`;
}

function helpLine(option: string, help: string): string {
  return `  ${option.padEnd(28)} ${help}`;
}
