import { formatDuration, parseDuration } from "@holdfast/core";

/** One option: `--flag`, its environment variables, its key in the options file, and what it means. */
export interface OptionRow<Value> {
  flag: string;
  /** Placeholder in the help. */
  takes: string;
  /** Environment variables, the first one wins. */
  env: readonly string[];
  help: string;
  /** @throws RangeError saying what would be right */
  parse(text: string): Value;
}

export function text(flag: string, takes: string, help: string, env: readonly string[] = []): OptionRow<string> {
  return { flag, takes, help, env: [variable(flag), ...env], parse: (value) => value };
}

export function duration(
  flag: string,
  help: string,
  range: { min: number; max: number },
  env: readonly string[] = [],
): OptionRow<number> {
  const parse = (value: string): number => {
    const ms = parseDuration(value);
    if (ms < range.min || ms > range.max)
      throw new RangeError(`must be from ${formatDuration(range.min)} to ${formatDuration(range.max)}, not ${value}`);
    return ms;
  };
  return { flag, takes: "DURATION", help, env: [variable(flag), ...env], parse };
}

export function whole(
  flag: string,
  takes: string,
  help: string,
  range: { min: number; max: number },
  env: readonly string[] = [],
): OptionRow<number> {
  const parse = (value: string): number => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= range.min && number <= range.max))
      throw new RangeError(`must be a whole number from ${range.min} to ${range.max}, not "${value.slice(0, 50)}"`);
    return number;
  };
  return { flag, takes, help, env: [variable(flag), ...env], parse };
}

/** `--otlp-grpc-port` is CONTROLLER_OTLP_GRPC_PORT in the environment. */
function variable(flag: string): string {
  return `CONTROLLER_${flag.toUpperCase().replaceAll("-", "_")}`;
}

/** `--otlp-grpc-port` is `otlpGrpcPort` in the options file. */
export function fileKey(flag: string): string {
  return flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
