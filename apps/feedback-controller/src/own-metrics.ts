import { metrics } from "@opentelemetry/api";
import type { Controller } from "./controller.ts";

/** Reports what the controller does about itself under the names that a Collector uses, so that its dashboards fit. */
export function reportOwnMetrics({ intake, forwarder }: Controller): void {
  const meter = metrics.getMeter("@holdfast/feedback-controller");
  const items = { traces: "spans", metrics: "metric_points", logs: "log_records" } as const;
  for (const signal of ["traces", "metrics", "logs"] as const) {
    meter
      .createObservableCounter(`otelcol_receiver_accepted_${items[signal]}`)
      .addCallback((result) => result.observe(intake.accepted[signal]));
  }
  meter.createObservableCounter("holdfast.controller.refused_requests").addCallback((result) => {
    for (const [reason, count] of Object.entries(intake.refused)) result.observe(count, { reason });
  });
  meter.createObservableGauge("otelcol_exporter_queue_size", { unit: "By" }).addCallback((result) => {
    for (const { url, counts } of forwarder.destinations) result.observe(counts.queuedBytes, { exporter: url });
  });
  for (const outcome of ["sent", "failed", "dropped", "rejected"] as const) {
    meter.createObservableCounter(`holdfast.controller.forwarded_${outcome}`).addCallback((result) => {
      for (const { url, counts } of forwarder.destinations) result.observe(counts[outcome], { exporter: url });
    });
  }
}
