import { type Clock, type Random, sleep } from "@holdfast/core";
import { context, ROOT_CONTEXT } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode, suppressTracing } from "@opentelemetry/core";

/** What every OpenTelemetry exporter of finished things has in common. */
export interface Exporter<Batch> {
  export(batch: Batch, done: (result: ExportResult) => void): void;
  shutdown(): Promise<void>;
}

export interface DeliveryOptions {
  clock: Clock;
  random: Random;
  /** How long after the first attempt another one may begin, in milliseconds. */
  retryForMs: number;
  /** Once aborted no wait is long, and few attempts are left. */
  hurry?: AbortSignal | undefined;
  /** Told of each failed attempt that another one follows. */
  onRetry?: ((error: Error) => void) | undefined;
}

/** Ceilings of the wait before an attempt: full jitter, doubled each time. */
const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 5_000;
/** In a hurry: what a receiver's restart or a lost connection needs, and no more. */
const HURRIED_DELAY_MS = 100;
const HURRIED_ATTEMPTS = 3;

/**
 * Exports a batch until it is confirmed, refused for good, or not worth another attempt.
 *
 * @returns undefined when the receiver confirmed it, else the last error
 */
export async function deliver<Batch>(
  exporter: Pick<Exporter<Batch>, "export">,
  batch: Batch,
  options: DeliveryOptions,
): Promise<Error | undefined> {
  const { clock, random, retryForMs, hurry, onRetry } = options;
  const startedAt = clock.monotonic();
  let hurried = 0;
  for (let attempt = 1; ; attempt++) {
    const error = await exportOnce(exporter, batch);
    if (!error || !isRetryable(error)) return error;
    if (hurry?.aborted ? ++hurried >= HURRIED_ATTEMPTS : clock.monotonic() - startedAt >= retryForMs) return error;
    onRetry?.(error);
    if (hurry?.aborted) await sleep(clock, HURRIED_DELAY_MS * hurried);
    else {
      const ceilingMs = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1));
      await sleep(clock, random() * ceilingMs, hurry).catch(() => {});
    }
  }
}

/** One attempt, untraced: the export's own calls must not become spans that are exported. */
function exportOnce<Batch>(exporter: Pick<Exporter<Batch>, "export">, batch: Batch): Promise<Error | undefined> {
  return new Promise((resolve) => {
    context.with(suppressTracing(ROOT_CONTEXT), () => {
      try {
        exporter.export(batch, (result) => {
          if (result.code === ExportResultCode.SUCCESS) resolve(undefined);
          else resolve(result.error ?? new Error("the exporter failed without a reason"));
        });
      } catch (thrown) {
        resolve(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    });
  });
}

const RESOURCE_EXHAUSTED = 8;
export const UNAVAILABLE = 14;
/** CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS. */
const RETRYABLE: ReadonlySet<number> = new Set([1, 4, 10, 11, UNAVAILABLE, 15]);

/** Which gRPC statuses say "send it again": the OTLP specification 1.x, section "Failures" of OTLP/gRPC. */
function isRetryable(error: Error): boolean {
  const code = grpcCode(error);
  if (code === undefined) return false;
  // RESOURCE_EXHAUSTED may be repeated only when the receiver says when, and it says so in the status details.
  if (code === RESOURCE_EXHAUSTED) {
    const { metadata } = error as { metadata?: { get?(key: string): unknown[] } };
    return (metadata?.get?.("grpc-status-details-bin").length ?? 0) > 0;
  }
  return RETRYABLE.has(code);
}

/** The numeric gRPC status of an error that has one. */
export function grpcCode(error: Error): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : undefined;
}
