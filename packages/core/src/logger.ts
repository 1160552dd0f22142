import { type Clock, systemClock } from "./clock.ts";

export type LogFields = Readonly<Record<string, unknown>>;

/** pino's shape: any pino logger can be given as it is. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export interface JsonLoggerOptions {
  /** The least level that is written. Default "info". */
  level?: LogLevel | undefined;
  /** Fields of every line. */
  base?: LogFields | undefined;
  /** Takes one line without its newline. Default: standard output. */
  write?: ((line: string) => void) | undefined;
  clock?: Clock | undefined;
}

/** Writes one JSON object a line: time (RFC 3339), level, message, fields. */
export function jsonLogger(options: JsonLoggerOptions = {}): Logger {
  const {
    level = "info",
    base = {},
    write = (line) => void process.stdout.write(`${line}\n`),
    clock = systemClock,
  } = options;
  const line = (at: LogLevel) => (fields: LogFields, message: string) => {
    if (LEVELS.indexOf(at) < LEVELS.indexOf(level)) return;
    write(
      JSON.stringify(
        { time: new Date(clock.now()).toISOString(), level: at, ...base, msg: message, ...fields },
        asPlain,
      ),
    );
  };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

function asPlain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error)
    return { name: value.name, message: value.message, code: (value as { code?: unknown }).code };
  return value;
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export interface RateLimitedLoggerOptions {
  /** The shortest time between two lines with the same message, in milliseconds. Default 10_000. */
  everyMs?: number | undefined;
  clock?: Clock | undefined;
}

/** How many different messages are remembered; beyond it the oldest is forgotten. */
const REMEMBERED_MESSAGES = 100;

/** Passes on the first of a run of equal messages and counts the rest, which the next line through reports as `suppressed`. */
export function rateLimitedLogger(logger: Logger, options: RateLimitedLoggerOptions = {}): Logger {
  const { everyMs = 10_000, clock = systemClock } = options;
  const seen = new Map<string, { at: number; suppressed: number }>();
  const limit = (level: LogLevel) => (fields: LogFields, message: string) => {
    const now = clock.monotonic();
    const last = seen.get(message);
    if (last && now - last.at < everyMs) {
      last.suppressed++;
      return;
    }
    seen.delete(message);
    if (seen.size >= REMEMBERED_MESSAGES) seen.delete(seen.keys().next().value!);
    seen.set(message, { at: now, suppressed: 0 });
    logger[level](last?.suppressed ? { ...fields, suppressed: last.suppressed } : fields, message);
  };
  return { debug: limit("debug"), info: limit("info"), warn: limit("warn"), error: limit("error") };
}
