import { attr, metric } from "@holdfast/core";
import type { LivePolicy } from "@holdfast/policy";
import { metrics, type ObservableGauge } from "@opentelemetry/api";

type Observe = Parameters<ObservableGauge["addCallback"]>[0];

/** Reports which versions and values this instance runs: the echo that a controller waits for. @returns stops it */
export function echoPolicy(policy: LivePolicy): () => void {
  const meter = metrics.getMeter("@holdfast/sdk");
  const versions = meter.createObservableGauge(metric.policyVersion, {
    description: "Version in force of each layer of a target's policy",
  });
  const values = meter.createObservableGauge(metric.policyValue, {
    description: "Value in force of what may be tuned",
  });
  const echoVersions: Observe = (result) => {
    for (const { target, layers } of policy.echo())
      for (const { layer, epoch, version } of layers)
        result.observe(version, { [attr.target]: target, [attr.policyLayer]: layer, [attr.policyEpoch]: epoch });
  };
  const echoValues: Observe = (result) => {
    for (const { target, values: rows } of policy.echo())
      for (const { knob, value } of rows) result.observe(value, { [attr.target]: target, knob });
  };
  versions.addCallback(echoVersions);
  values.addCallback(echoValues);
  return () => {
    versions.removeCallback(echoVersions);
    values.removeCallback(echoValues);
  };
}
