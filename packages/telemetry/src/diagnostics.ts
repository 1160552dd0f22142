import { type Logger, messageOf } from "@holdfast/core";
import { DiagLogLevel, diag } from "@opentelemetry/api";

/**
 * Has what OpenTelemetry says of itself written to the logger, from warnings up. One message for all: the limiter counts
 * by message, and the details may differ each time.
 */
export function logDiagnostics(logger: Logger): void {
  const pass =
    (level: "warn" | "error") =>
    (message: string, ...details: unknown[]) =>
      logger[level]({ detail: [message, ...details.map(text)].join(" ").slice(0, 1_000) }, "opentelemetry reports");
  const ignore = (): void => {};
  diag.setLogger(
    { error: pass("error"), warn: pass("warn"), info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

function text(detail: unknown): string {
  if (detail instanceof Error) return messageOf(detail);
  return typeof detail === "string" ? detail : (JSON.stringify(detail) ?? String(detail));
}
