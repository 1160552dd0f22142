import type { Clock } from "@holdfast/core";
import { trace } from "@opentelemetry/api";
import type { CrashRecorder } from "./recorder/crash-recorder.ts";

export interface CrashWatchOptions {
  recorder: CrashRecorder | null;
  clock: Clock;
  /** An exception came to the top. @param fatal whether nobody listens, so that Node ends the process */
  onPanic: (origin: string, fatal: boolean) => void;
  /** Whether the end was recorded already. */
  ended: () => boolean;
}

/**
 * Records how the process ends when nobody asked it to. Only looks on: whether an exception ends the process, what is
 * printed and with which code it exits stay as Node and the application have it.
 *
 * @returns stops looking
 */
export function watchForCrash(options: CrashWatchOptions): () => void {
  const { recorder, clock, onPanic, ended } = options;
  let dying = false;
  const onException = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void => {
    const fatal = process.listenerCount("uncaughtException") === 0 && !process.hasUncaughtExceptionCaptureCallback();
    dying ||= fatal;
    const span = trace.getActiveSpan()?.spanContext();
    recorder?.exception(error, {
      atMs: clock.now(),
      fatal,
      origin: origin === "unhandledRejection" ? origin : "uncaughtException",
      span: span && { traceId: span.traceId, spanId: span.spanId },
    });
    onPanic(origin, fatal);
  };
  const onExit = (exitCode: number): void => {
    if (!ended() && !dying) recorder?.end({ atMs: clock.now(), kind: "exit", exitCode, told: false });
  };
  process.on("uncaughtExceptionMonitor", onException);
  process.on("exit", onExit);
  return () => {
    process.removeListener("uncaughtExceptionMonitor", onException);
    process.removeListener("exit", onExit);
  };
}

/**
 * Has Node write its report into a folder when the heap is exhausted: no code of ours runs then. Somebody else's wish for
 * reports is left alone.
 *
 * @returns takes it back
 */
export function reportHeapOom(folder: string, name: string): () => void {
  // Two settings are newer than the types.
  const report: (NodeJS.ProcessReport & { excludeNetwork?: boolean; excludeEnv?: boolean }) | undefined =
    process.report;
  if (!report || report.reportOnFatalError) return () => {};
  const { directory, filename, compact, excludeNetwork, excludeEnv } = report;
  Object.assign(report, {
    reportOnFatalError: true,
    directory: folder,
    filename: name,
    compact: true,
    // It would look up names in the DNS; and environment values have no business on disk.
    excludeNetwork: true,
    excludeEnv: true,
  });
  return () => {
    Object.assign(report, { reportOnFatalError: false, directory, filename, compact, excludeNetwork, excludeEnv });
  };
}
