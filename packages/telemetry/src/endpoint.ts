import type { Logger } from "@holdfast/core";

/**
 * The OTLP/gRPC endpoint: the option, else the environment, else none. What is wrong in the option is a programming
 * mistake; what is wrong in the environment must not keep a service from starting.
 *
 * @throws TypeError when the option is not an http or https URL
 */
export function resolveEndpoint(
  option: string | null | undefined,
  logger: Logger,
  env: NodeJS.ProcessEnv = process.env,
): string | null {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === "true") return null;
  if (option === null) return null;
  if (option !== undefined) {
    if (!isEndpoint(option))
      throw new TypeError(`endpoint must be a URL such as "http://127.0.0.1:4317", not "${option}"`);
    return option;
  }
  const named = env.OTEL_EXPORTER_OTLP_ENDPOINT?.trim();
  if (!named) return null;
  if (!isEndpoint(named)) {
    logger.error(
      { value: named },
      "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL such as http://127.0.0.1:4317; nothing is exported",
    );
    return null;
  }
  const protocol = env.OTEL_EXPORTER_OTLP_PROTOCOL?.trim();
  if (protocol && protocol !== "grpc")
    logger.warn({ protocol }, "OTEL_EXPORTER_OTLP_PROTOCOL is not followed: telemetry goes out over grpc");
  return named;
}

function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.host !== "";
}

/**
 * The interval of metric exports in milliseconds: the option, else OTEL_METRIC_EXPORT_INTERVAL, else the
 * specification's 60 s.
 */
export function resolveMetricInterval(
  option: number | undefined,
  logger: Logger,
  env: NodeJS.ProcessEnv = process.env,
): number {
  if (option !== undefined) {
    if (typeof option !== "number" || !(option >= LEAST_INTERVAL_MS && option <= MOST_INTERVAL_MS))
      throw new RangeError(
        `metricExportIntervalMs must be a number from ${LEAST_INTERVAL_MS} to ${MOST_INTERVAL_MS}, not ${option}`,
      );
    return option;
  }
  const named = env.OTEL_METRIC_EXPORT_INTERVAL?.trim();
  if (!named) return DEFAULT_INTERVAL_MS;
  const interval = Number(named);
  if (interval >= LEAST_INTERVAL_MS && interval <= MOST_INTERVAL_MS) return interval;
  logger.error({ value: named }, "OTEL_METRIC_EXPORT_INTERVAL is not a number of milliseconds from 100 to 86400000");
  return DEFAULT_INTERVAL_MS;
}

const DEFAULT_INTERVAL_MS = 60_000;
const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 86_400_000;
