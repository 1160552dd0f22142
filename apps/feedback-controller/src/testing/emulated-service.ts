import { attr, metric } from "@holdfast/core";
import { livePolicy, type OverrideStore, type Policy } from "@holdfast/policy";
import { SpanKind } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

export interface EmulatedServiceOptions {
  /** OTLP/gRPC. */
  endpoint: string;
  service: string;
  instance: string;
  target: string;
  policy: Policy;
  store: OverrideStore;
}

/**
 * One instance of a service as OpenTelemetry's SDK makes it heard, with a real live policy: calls every few milliseconds,
 * and an echo of what it runs.
 */
export class EmulatedService implements AsyncDisposable {
  /** What it runs now. */
  readonly threshold: () => number;
  readonly #stop: () => Promise<void>;

  constructor({ endpoint, service, instance, target, policy, store }: EmulatedServiceOptions) {
    const resource = resourceFromAttributes({ [attr.serviceName]: service, [attr.serviceInstanceId]: instance });
    const spans = new BatchSpanProcessor({
      exporter: new OTLPTraceExporter({ url: endpoint }),
      scheduledDelayMillis: 100,
    });
    const tracers = new TracerProvider({ resource, spanProcessors: [spans] });
    const exporter = new OTLPMetricExporter({ url: endpoint });
    const reader = new PeriodicExportingMetricReader({
      exporter,
      exportIntervalMillis: 200,
      exportTimeoutMillis: 200,
    });
    const meters = new MeterProvider({ resource, readers: [reader] });
    const live = livePolicy({ policy, service, store });
    const liveTarget = live.target(target);
    this.threshold = () => liveTarget.current.breaker.failureRateThreshold;
    const meter = meters.getMeter("test");
    meter
      .createObservableGauge(metric.breakerState)
      .addCallback((result) => result.observe(0, { [attr.target]: target }));
    meter.createObservableGauge(metric.policyVersion).addCallback((result) => {
      for (const row of live.echo())
        for (const { layer, epoch, version } of row.layers)
          result.observe(version, { [attr.target]: row.target, [attr.policyLayer]: layer, [attr.policyEpoch]: epoch });
    });
    const tracer = tracers.getTracer("test");
    const calls = setInterval(() => {
      for (let i = 0; i < 3; i++)
        tracer.startSpan("GET", { kind: SpanKind.CLIENT, attributes: { [attr.target]: target } }).end();
    }, 10);
    this.#stop = async () => {
      clearInterval(calls);
      await live.close();
      await Promise.allSettled([tracers.shutdown(), meters.shutdown()]);
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
