import { connections, failureRate, type Knob, knobs } from "./knob.ts";
import type { LifecyclePolicy, TelemetryPolicy } from "./policy.ts";
import { count, duration, percentage } from "./quantity.ts";
import { dictionary, type Entries, type ReportKey, type Section, section } from "./section.ts";
import { list, Refusal, type Shape, scalar, text, word } from "./shape.ts";
import type {
  Bound,
  BreakerPolicy,
  PoolPolicy,
  RetryPolicy,
  TargetPolicy,
  Tunable,
  TuningPolicy,
} from "./target-policy.ts";
import { checkTunable, formatTunable, getTunable, tunables } from "./tunable.ts";

/** What a document says, before its targets get their names. */
export interface PolicyDocument {
  apiVersion: "holdfast.dev/v1alpha1";
  kind: "Policy";
  /** An editor's business; not read. */
  $schema: string | undefined;
  namespace: string;
  targets: ReadonlyMap<string, TargetDocument>;
  lifecycle: LifecyclePolicy;
  telemetry: TelemetryPolicy;
}

/** A target's part of the document. */
export interface TargetDocument extends Omit<TargetPolicy, "name" | "urls"> {
  readonly url: string | undefined;
  readonly urls: readonly string[] | undefined;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Names become parts of metrics, keys and ACL patterns: nothing in them may need quoting there. */
const name: Shape<string> = text({
  accepts: "a name: letters, digits, '.', '_' and '-', at most 100, a letter or digit first",
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
});

const url: Shape<string> = scalar<string>({
  accepts: "an http or https URL",
  write: (value) => value,
  jsonSchema: { type: "string", pattern: "^[Hh][Tt][Tt][Pp][Ss]?://" },
  parse(value) {
    const wanted = 'must be an http or https URL, such as "http://ledger:8080"';
    if (typeof value !== "string" || !/^https?:\/\//i.test(value) || !URL.canParse(value)) return new Refusal(wanted);
    const { username, password, href } = new URL(value);
    // The words must not repeat the value: it holds a secret.
    if (username !== "" || password !== "") {
      return new Refusal("must not carry a user or password: a policy is read by many; set a header in the code");
    }
    if (href.length > 2_048) return new Refusal(`${wanted}, of at most 2048 characters`);
    return value;
  },
});

const retry: Section<RetryPolicy> = section<RetryPolicy>(
  {
    maxAttempts: {
      key: "maxAttempts",
      shape: count({ min: 1, max: 10 }),
      fallback: 3,
      why: "Attempts of one call, the first included. Two repeats outlast a restart or a lost packet; more only add load to what already fails.",
    },
    baseDelayMs: {
      key: "baseDelay",
      shape: duration({ min: 1, max: MINUTE }),
      fallback: 50,
      why: "Ceiling of the first wait, doubled for each further one. The wait is drawn evenly from zero to it, so that a fleet does not come back in step.",
    },
    maxDelayMs: {
      key: "maxDelay",
      shape: duration({ min: 1, max: 10 * MINUTE }),
      fallback: (before) => Math.max(SECOND, before.baseDelayMs),
      fallbackText: "1s, or `baseDelay` where that is longer",
      why: "Ceiling of every wait. A caller with a deadline of seconds gains nothing from longer ones.",
    },
    budgetRatio: {
      key: "budget",
      shape: percentage({ min: 0, max: 1 }),
      fallback: 0.2,
      why: "Retries allowed as a share of calls. In an outage it keeps three attempts from becoming three times the load.",
    },
    minRetriesPerSecond: {
      key: "minRetriesPerSecond",
      shape: count({ min: 0, max: 1_000 }),
      fallback: 10,
      why: "Retries a second that the budget always allows. Without it a target with a few calls a minute could never retry.",
    },
  },
  {
    check({ baseDelayMs, maxDelayMs }, report) {
      if (maxDelayMs < baseDelayMs) report("maxDelayMs", "is shorter than baseDelay; make it at least as long");
    },
  },
);

const breaker: Section<BreakerPolicy> = section<BreakerPolicy>(
  {
    failureRateThreshold: {
      key: "failureRateThreshold",
      shape: failureRate,
      fallback: 0.5,
      why: "Share of failures in the window that opens the breaker. When half of the calls fail, waiting for the other half costs more than refusing.",
    },
    minimumCalls: {
      key: "minimumCalls",
      shape: count({ min: 1, max: 100_000 }),
      fallback: 10,
      why: "Calls that the window must hold before its rate counts. Two failures of three calls are chance.",
    },
    windowMs: {
      key: "window",
      shape: duration({ min: SECOND, max: 10 * MINUTE }),
      fallback: 10 * SECOND,
      why: "How far back the rate looks. Longer forgets an outage too late, shorter sees too few calls.",
    },
    consecutiveFailures: {
      key: "consecutiveFailures",
      shape: count({ min: 0, max: 100_000 }),
      fallback: 5,
      why: "Failures in a row that open the breaker before the window has seen enough; 0 switches the rule off.",
    },
    openMs: {
      key: "openFor",
      shape: duration({ min: 10, max: 10 * MINUTE }),
      fallback: 5 * SECOND,
      why: "How long the breaker stays open before its first trial. Doubled, with jitter, after each failed one.",
    },
    maxOpenMs: {
      key: "maxOpenFor",
      shape: duration({ min: 10, max: HOUR }),
      fallback: (before) => Math.max(2 * MINUTE, before.openMs),
      fallbackText: "2m, or `openFor` where that is longer",
      why: "The longest it stays open. What has come back is noticed within this time.",
    },
    halfOpenPermits: {
      key: "halfOpenPermits",
      shape: count({ min: 1, max: 100 }),
      fallback: 3,
      why: "Trial calls in flight while half-open, over the whole fleet. One may hang; three rarely do.",
    },
  },
  {
    check({ openMs, maxOpenMs }, report) {
      if (maxOpenMs < openMs) report("maxOpenMs", "is shorter than openFor; make it at least as long");
    },
  },
);

const pool: Section<PoolPolicy> = section<PoolPolicy>({
  size: {
    key: "size",
    shape: connections,
    fallback: 10,
    why: "Connections that the pool may open. Enough for most services; the sum over all instances must fit the server.",
  },
});

/** The bounds of one knob, in its unit. */
function bound({ quantity, step, maxStep }: Knob): Section<Bound> {
  return section<Bound>(
    {
      min: { key: "min", shape: quantity, required: true, why: "The least the controller may set." },
      max: { key: "max", shape: quantity, required: true, why: "The most the controller may set." },
      maxStep: {
        key: "maxStep",
        shape: step,
        fallback: maxStep,
        why: "The most that one decision may move it. Small steps leave time to see what they did.",
      },
    },
    {
      check({ min, max }, report) {
        if (min > max) report("max", `is less than min; make it at least ${quantity.format(min)}`);
      },
    },
  );
}

type Bounds = Partial<Record<Tunable, Bound>>;

const bounds: Section<Bounds> = section<Bounds>(
  Object.fromEntries(
    tunables.map((knob) => [
      knob,
      {
        key: knob,
        shape: bound(knobs[knob]),
        fallbackText: "none: it stays where the document puts it",
        why: `How far ${knob} may be moved.`,
      },
    ]),
  ) as unknown as Entries<Bounds>,
);

const tuning: Section<TuningPolicy> = section<TuningPolicy>({
  mode: {
    key: "mode",
    shape: word("apply", "shadow", "off"),
    fallback: "shadow",
    why: "`shadow` lets the controller decide and report without moving anything, so that a team can watch before it trusts; `apply` takes its values; `off` wants neither.",
  },
  bounds: {
    key: "bounds",
    shape: bounds,
    fallback: () => bounds.empty(),
    why: "What the controller may move, and how far. What is not named here stays where the document puts it.",
  },
});

const target: Section<TargetDocument> = section<TargetDocument>(
  {
    url: {
      key: "url",
      shape: url,
      fallbackText: "none: the code or the environment says",
      why: "Where the target listens, when it is one address. A gRPC target's is given in the code.",
    },
    urls: {
      key: "urls",
      shape: list(url, { min: 1, max: 64 }),
      fallbackText: "none: the code or the environment says",
      why: "Where the target listens, when it is several: attempts take them in turn.",
    },
    mode: {
      key: "mode",
      shape: word("enforce", "observe", "off"),
      fallback: "observe",
      why: "`observe` admits every call and reports what would have been refused, so that nobody enforces unseen; `enforce` refuses; `off` does neither.",
    },
    deadlineMs: {
      key: "deadline",
      shape: duration({ min: 1, max: HOUR }),
      fallback: 10 * SECOND,
      why: "For one call with all its attempts, its waits and its body. Longer than people wait, short enough to free what a dead peer holds.",
    },
    attemptTimeoutMs: {
      key: "attemptTimeout",
      shape: duration({ min: 1, max: HOUR }),
      fallback: (before) => Math.min(2 * SECOND, before.deadlineMs),
      fallbackText: "2s, or `deadline` where that is shorter",
      why: "For one attempt. The default deadline has room for three and their waits.",
    },
    retry: { key: "retry", shape: retry, fallback: () => retry.empty(), why: "When a failed attempt is repeated." },
    breaker: {
      key: "breaker",
      shape: breaker,
      fallback: () => breaker.empty(),
      why: "When calls are refused to let a failing target recover.",
    },
    pool: { key: "pool", shape: pool, fallback: () => pool.empty(), why: "Its connections." },
    tuning: {
      key: "tuning",
      shape: tuning,
      fallback: () => tuning.empty(),
      why: "What the feedback controller may change while the service runs.",
    },
  },
  {
    check(whole, report) {
      if (whole.url !== undefined && whole.urls !== undefined)
        report("url", "and urls are both given; keep one of them");
      if (whole.attemptTimeoutMs > whole.deadlineMs) {
        report("attemptTimeoutMs", "is longer than deadline; make it at most as long");
      }
      checkBounds(whole, report);
    },
  },
);

/** A value outside its own bounds could be left, but never come back. */
function checkBounds(whole: TargetDocument, report: ReportKey<TargetDocument>): void {
  const policy = resolveTarget("", whole);
  for (const knob of tunables) {
    const bound = policy.tuning.bounds[knob];
    const value = getTunable(policy, knob);
    if (!bound || checkTunable(policy, knob, value) === undefined) continue;
    const range = `${formatTunable(knob, bound.min)} to ${formatTunable(knob, bound.max)}`;
    report(
      "tuning",
      `binds ${knob} to ${range}, but the target's own value is ${formatTunable(knob, value)}; widen the bounds or change the value`,
    );
  }
}

/** A target of the document under its name. Frozen. */
export function resolveTarget(name: string, { url, urls, ...rest }: TargetDocument): TargetPolicy {
  return Object.freeze({ ...rest, name, urls: Object.freeze(urls ?? (url === undefined ? [] : [url])) });
}

/** What a target is that no document mentions. */
export function defaultTarget(): TargetDocument {
  return target.empty();
}

/** Telemetry's and a drain's own time within the grace period, beside the lame duck. */
const RESERVED_MS = 2 * SECOND;

const lifecycle: Section<LifecyclePolicy> = section<LifecyclePolicy>(
  {
    probePort: {
      key: "probePort",
      shape: count({ min: 0, max: 65_535 }),
      fallback: 9_090,
      why: "Port of the probe server; 0 takes any free one. Its own port answers also when the service's is saturated.",
    },
    graceMs: {
      key: "grace",
      shape: duration({ min: RESERVED_MS, max: HOUR }),
      fallback: 30 * SECOND,
      why: "From the signal to the end of the process. Kubernetes' own default; a pod can't see what its spec says.",
    },
    lameDuckMs: {
      key: "lameDuck",
      shape: duration({ min: 0, max: 10 * MINUTE }),
      fallback: (before) => Math.min(5 * SECOND, Math.floor((before.graceMs - RESERVED_MS) / 4)),
      fallbackText: "5s, or a quarter of what `grace` leaves beyond 2s where that is shorter",
      why: "How long a service that was told to stop goes on serving. Load balancers take some seconds to hear of it.",
    },
    livenessStallMs: {
      key: "livenessStall",
      shape: duration({ min: 100, max: 10 * MINUTE }),
      fallback: 10 * SECOND,
      why: "A stall of the event loop this long fails liveness. A restart costs more than most stalls.",
    },
    readinessStallMs: {
      key: "readinessStall",
      shape: duration({ min: 50, max: 10 * MINUTE }),
      fallback: (before) => Math.min(SECOND, before.livenessStallMs),
      fallbackText: "1s, or `livenessStall` where that is shorter",
      why: "A stall of the event loop this long fails readiness. Others can take the traffic meanwhile.",
    },
  },
  {
    check({ graceMs, lameDuckMs, livenessStallMs, readinessStallMs }, report) {
      if (lameDuckMs + RESERVED_MS > graceMs) {
        report("lameDuckMs", "leaves less than 2s of grace to drain and flush; shorten it or lengthen grace");
      }
      if (readinessStallMs > livenessStallMs) {
        report("readinessStallMs", "is longer than livenessStall: the restart would come first; shorten it");
      }
    },
  },
);

const telemetry: Section<TelemetryPolicy> = section<TelemetryPolicy>({
  metricExportIntervalMs: {
    key: "metricExportInterval",
    shape: duration({ min: 100, max: 10 * MINUTE }),
    fallback: 10 * SECOND,
    why: "Time between two exports of metrics. OpenTelemetry's own default of 60s is too slow for a controller that acts on them.",
  },
});

/** The whole document. Reader, JSON Schema and reference table are made of this and of nothing else. */
export const policyShape: Section<PolicyDocument> = section<PolicyDocument>({
  apiVersion: {
    key: "apiVersion",
    shape: word("holdfast.dev/v1alpha1"),
    required: true,
    why: "The version of this format.",
  },
  kind: { key: "kind", shape: word("Policy"), required: true, why: "What the document is." },
  $schema: {
    key: "$schema",
    shape: text({ accepts: "a text of at most 2048 characters", pattern: /^[\s\S]{0,2048}$/ }),
    fallbackText: "none",
    why: "For editors; not read.",
  },
  namespace: {
    key: "namespace",
    shape: name,
    fallback: "default",
    why: "Keeps fleets that share a store apart. A service's option or environment wins over it.",
  },
  targets: {
    key: "targets",
    shape: dictionary(target, { name, max: 1_000, noun: "target" }),
    fallback: () => new Map(),
    why: "What the service calls, by the names that the code uses.",
  },
  lifecycle: {
    key: "lifecycle",
    shape: lifecycle,
    fallback: () => lifecycle.empty(),
    why: "Probes and shutdown.",
  },
  telemetry: { key: "telemetry", shape: telemetry, fallback: () => telemetry.empty(), why: "What is exported." },
});
