import { createRequire } from "node:module";
import * as imported from "@opentelemetry/api";

type Api = Pick<typeof imported, "trace" | "logs">;

/** What tracers and loggers taken before the start are waiting for. */
interface Waiting {
  setDelegate?(provider: imported.TracerProvider): void;
  _setDelegate?(provider: imported.LoggerProvider): void;
}

const required = createRequire(import.meta.url)("@opentelemetry/api") as Api;
const copies: readonly Api[] = [imported, required];

/**
 * Lets tracers and loggers that were taken before the start, at the top of a module for instance, work as those taken
 * after it.
 *
 * The API is in a process twice, once for import and once for require. Each copy keeps its own list of who waits, and
 * registering a provider with one tells only its own.
 *
 * @returns call it after the providers are registered
 */
export function awaitProviders(): () => void {
  const waiting = copies.map(({ trace, logs }) => ({
    tracers: trace.getTracerProvider() as Waiting,
    loggers: logs.getLoggerProvider() as Waiting,
  }));
  return () => {
    const provider = (imported.trace.getTracerProvider() as imported.ProxyTracerProvider).getDelegate?.();
    const loggers = imported.logs.getLoggerProvider();
    for (const each of waiting) {
      if (provider) each.tracers.setDelegate?.(provider);
      each.loggers._setDelegate?.(loggers);
    }
  };
}
