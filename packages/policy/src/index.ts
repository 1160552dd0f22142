export { type LivePolicy, type LivePolicyOptions, livePolicy } from "./live-policy.ts";
export type {
  EchoRow,
  LayerVersion,
  LiveLayers,
  LiveTarget,
  RejectedOverride,
  TargetListener,
} from "./live-target.ts";
export { memoryOverrideStore } from "./memory-override-store.ts";
export type { Override, OverrideId, OverrideLayer, Overrides } from "./override.ts";
export type { OverrideListener, OverrideStore, WriteResult } from "./override-store.ts";
export { defaultPolicy, loadPolicyFile, type ParsePolicyOptions, parsePolicy } from "./parse-policy.ts";
export type { LifecyclePolicy, Policy, TelemetryPolicy } from "./policy.ts";
export { PolicyError, type PolicyProblem } from "./policy-error.ts";
export type {
  Bound,
  BreakerPolicy,
  Mode,
  PoolPolicy,
  RetryPolicy,
  TargetPolicy,
  Tunable,
  TuningPolicy,
} from "./target-policy.ts";
export { checkTunable, formatTunable, getTunable, isTunable, tunables, withTunables } from "./tunable.ts";
