/** Attributes that only this package writes. */
export const lifecycleAttr = {
  probePath: "lifecycle.probe.path",
  probeStatus: "lifecycle.probe.status",
  probeReason: "lifecycle.probe.reason",
  probeFailures: "lifecycle.probe.failures",
  stallDuration: "lifecycle.stall.duration_ms",
  shutdownTrigger: "lifecycle.shutdown.trigger",
  outcome: "lifecycle.outcome",
  deathCause: "lifecycle.death.cause",
  incarnation: "lifecycle.incarnation",
  uptime: "lifecycle.uptime_ms",
  openSpans: "lifecycle.open_spans",
  resurrected: "lifecycle.resurrected",
  previousIncarnation: "lifecycle.previous.incarnation",
  /** Of a link: what the linked span is to this one. */
  link: "lifecycle.link",
} as const;

/** Names of spans, as Jaeger shows them. */
export const spanName = {
  probe: "lifecycle.probe",
  stall: "lifecycle.stall",
  shutdown: "lifecycle.shutdown",
  crash: "lifecycle.crash",
  boot: "lifecycle.boot",
} as const;
