/**
 * Names of attributes and metrics that more than one package, or the controller, must agree on. Names that
 * OpenTelemetry's semantic conventions already have are used as they stand there and repeated here only where a package
 * would otherwise need the whole conventions package for one string.
 */
export const attr = {
  serviceName: "service.name",
  serviceNamespace: "service.namespace",
  serviceInstanceId: "service.instance.id",
  serviceVersion: "service.version",
  errorType: "error.type",
  /** The target's name in the policy, on client spans and on every metric of a target. */
  target: "holdfast.target",
  breakerState: "holdfast.breaker.state",
  /** "enforce", "observe" or "off". */
  mode: "holdfast.mode",
  /** Why a call was refused before it was sent: "breaker-open", "deadline", "budget". */
  rejectionReason: "holdfast.rejection.reason",
  policyLayer: "holdfast.policy.layer",
  policyEpoch: "holdfast.policy.epoch",
  decisionId: "holdfast.decision.id",
  incident: "lifecycle.incident",
} as const;

export const metric = {
  /** Histogram, s. {holdfast.target, outcome}: one logical call, all its attempts. */
  clientCallDuration: "holdfast.client.call.duration",
  /** Counter. {holdfast.target, outcome}: every attempt that was sent. */
  clientAttempts: "holdfast.client.attempts",
  /** Counter. {holdfast.target, reason}. */
  clientRejections: "holdfast.client.rejections",
  /** Gauge: 0 closed, 1 half-open, 2 open. {holdfast.target}. */
  breakerState: "holdfast.breaker.state",
  /** Counter. {holdfast.target, from, to, origin}. */
  breakerTransitions: "holdfast.breaker.transitions",
  /** Counter. {holdfast.target, outcome: success | failure | ignored}. */
  breakerOutcomes: "holdfast.breaker.outcomes",
  /** Counter. {holdfast.target}. */
  breakerRejections: "holdfast.breaker.rejections",
  /** Gauge: 1 the store is shared with the fleet, 0 local mode. */
  breakerSharing: "holdfast.breaker.sharing",
  /** Gauge, the version in force. {holdfast.target, holdfast.policy.layer, holdfast.policy.epoch}. The echo a controller waits for. */
  policyVersion: "holdfast.policy.version",
  /** Gauge, the value in force of something that may be tuned. {holdfast.target, knob}. */
  policyValue: "holdfast.policy.value",
  /** Gauge. {holdfast.target}: connections that the pool may open. */
  poolSize: "holdfast.pool.size",
  /** Gauge. {holdfast.target}: connections that carry work now. */
  poolInUse: "holdfast.pool.in_use",
  /** Gauge. {holdfast.target}: callers that wait for a connection. */
  poolPending: "holdfast.pool.pending",
  /** Histogram, s. {holdfast.target}: how long a caller waited for a connection. */
  poolWait: "holdfast.pool.wait.duration",
  /** Histogram, s. {holdfast.target}: how long a connection was held. */
  poolUse: "holdfast.pool.use.duration",
} as const;
