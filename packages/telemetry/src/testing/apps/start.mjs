import { startTelemetry } from "@holdfast/telemetry";

export const telemetry = startTelemetry({ service: "traced" });
