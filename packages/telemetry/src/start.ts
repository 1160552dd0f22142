import { rateLimitedLogger, silentLogger, systemClock, systemRandom } from "@holdfast/core";
import { context, diag, logs, metrics, type ProxyTracerProvider, propagation, trace } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { awaitProviders } from "./api-copies.ts";
import { logDiagnostics } from "./diagnostics.ts";
import { resolveEndpoint, resolveMetricInterval } from "./endpoint.ts";
import { instrumentations } from "./instrumentations.ts";
import { lateModules } from "./late-modules.ts";
import { OtlpStorySink } from "./otlp-story-sink.ts";
import { openPipelines } from "./pipelines.ts";
import { logRecordProcessor, spanProcessor } from "./queue-processors.ts";
import { describeResource } from "./resource.ts";
import { SpanObservers } from "./span-observers.ts";
import { StartedTelemetry } from "./started-telemetry.ts";
import type { Telemetry, TelemetryOptions } from "./telemetry.ts";

/**
 * Starts OpenTelemetry in this process: traces, metrics and logs over OTLP/gRPC, W3C propagation, and the instrumentation
 * of http, undici, grpc-js and pg, also where they are already loaded. It installs no signal handler and never shuts down
 * by itself: whoever started it closes it, last.
 *
 * Where another OpenTelemetry SDK is registered already it stays as it is, and only stories are exported.
 *
 * @throws TypeError or RangeError for an option out of range, naming it and its value
 */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const { observers = [], clock = systemClock, random = systemRandom } = options;
  const logger = rateLimitedLogger(options.logger ?? silentLogger, { clock });
  if (typeof options.service !== "string" || options.service === "")
    throw new TypeError("service must be the service's name");
  const metricExportIntervalMs = resolveMetricInterval(options.metricExportIntervalMs, logger);
  const endpoint = resolveEndpoint(options.endpoint, logger);
  const resource = describeResource(options);
  const watched = new SpanObservers(observers);
  const foreign = (trace.getTracerProvider() as ProxyTracerProvider).getDelegateTracer?.("@holdfast/telemetry");
  if (foreign) logger.warn({}, "another OpenTelemetry SDK runs in this process: its spans stay with it");
  else logDiagnostics(logger);

  // Before anything that loads grpc-js.
  const patched = options.instrumentations === false || foreign ? [] : instrumentations();
  const pipelines = endpoint ? openPipelines({ endpoint, metricExportIntervalMs, logger, clock, random }) : null;
  if (!foreign) {
    const { NodeSDK } = lateModules.sdkNode();
    const tellWaiting = awaitProviders();
    new NodeSDK({
      autoDetectResources: false,
      resource: resourceFromAttributes({ ...resource } as Parameters<typeof resourceFromAttributes>[0]),
      instrumentations: [...patched],
      spanProcessors: [watched, ...(pipelines ? [spanProcessor(pipelines.spans)] : [])],
      metricReaders: pipelines ? [pipelines.metricReader] : [],
      logRecordProcessors: pipelines ? [logRecordProcessor(pipelines.logs)] : [],
    }).start();
    tellWaiting();
  }
  if (!endpoint) logger.info({}, "no OTLP endpoint is named: traces, metrics and logs are not exported");
  return new StartedTelemetry({
    endpoint,
    resource,
    observers: watched,
    export: pipelines && {
      pipelines,
      stories: new OtlpStorySink({ exporter: pipelines.storyExporter, resource, clock, random }),
    },
    clock,
    unregister: () => {
      if (foreign) return;
      for (const api of [trace, metrics, logs, propagation, context, diag]) api.disable();
    },
  });
}
