import type { Telemetry, TelemetryOptions } from "./telemetry.ts";

export function startTelemetry(options: TelemetryOptions): Telemetry {
  throw new Error(`not started: ${options.service}`);
}
