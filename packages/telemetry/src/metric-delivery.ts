import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import type {
  AggregationOption,
  AggregationTemporality,
  InstrumentType,
  PushMetricExporter,
  ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { ReconnectingExporter } from "./reconnecting-exporter.ts";

/** Exports metrics and remembers how the last export went. A lost one is no loss: the next carries the same sums. */
export class MetricDelivery implements PushMetricExporter {
  readonly #exporter: ReconnectingExporter<ResourceMetrics, OTLPMetricExporter>;
  #lastFailed = false;

  constructor(exporter: ReconnectingExporter<ResourceMetrics, OTLPMetricExporter>) {
    this.#exporter = exporter;
  }

  get lastFailed(): boolean {
    return this.#lastFailed;
  }

  export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
    this.#exporter.export(metrics, (result) => {
      this.#lastFailed = result.code !== ExportResultCode.SUCCESS;
      done(result);
    });
  }

  selectAggregation(instrumentType: InstrumentType): AggregationOption {
    return this.#exporter.current.selectAggregation(instrumentType);
  }

  selectAggregationTemporality(instrumentType: InstrumentType): AggregationTemporality {
    return this.#exporter.current.selectAggregationTemporality(instrumentType);
  }

  forceFlush(): Promise<void> {
    return this.#exporter.current.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }
}
