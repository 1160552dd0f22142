import type { Logger } from "@holdfast/core";
import type { Telemetry } from "@holdfast/telemetry";

/** What telemetry says while it starts goes with everything else that is missing into one line; its troubles stay lines. */
export function troubleOnly(logger: Logger): Logger {
  return {
    debug() {},
    info() {},
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

/** Kept back so that the line below comes before the hook's time is up. */
const LINE_RESERVE_MS = 100;

/** Closes telemetry and says what became of everything: the line that a clean stop is checked against. */
export async function closeTelemetry(telemetry: Telemetry, logger: Logger, deadlineMs: number): Promise<void> {
  const { clean, ...result } = await telemetry.shutdown(Math.max(0, deadlineMs - LINE_RESERVE_MS));
  const startedAt = telemetry.resource["process.creation.time"];
  logger[clean ? "info" : "warn"]({ startedAt, ...result }, "telemetry closed");
}
