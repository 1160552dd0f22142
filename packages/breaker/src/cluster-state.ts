import { openTimeMs } from "./open-time.ts";
import type { BreakerState } from "./permit.ts";
import { type DomainEvidence, fleetTrips } from "./quorum.ts";
import type { BreakerSettings } from "./settings.ts";
import { type FleetView, STORE_SCHEMA, type SyncReply, type SyncRequest } from "./store.ts";
import { trialsNeeded } from "./trip-rule.ts";

/** Calls that finished in the bucket that begins at `startMs`: `[startMs, successes, failures]`. */
export type Bucket = [startMs: number, successes: number, failures: number];

interface DomainWindow {
  run: number;
  buckets: Bucket[];
}

/** One trial of the present half-open round. It keeps its place after its result, so that a round stays a round. */
interface Trial {
  token: string;
  domain: string;
  deadlineMs: number;
  outcome: "success" | "failure" | null;
}

/** Everything a store keeps of one breaker. Plain data: it goes through JSON. */
export interface ClusterRecord {
  schema: number;
  incarnation: string;
  generation: number;
  state: BreakerState;
  sinceMs: number;
  untilMs: number;
  opens: number;
  by: string;
  decidedAtMs: number;
  /** Domains that were active when the fleet last opened: a round's trials are spread over them. */
  active: number;
  /** Who asked for a lease last without getting it. */
  waiting: { by: string; atMs: number } | null;
  trials: Trial[];
  /** By `d:` and the domain's name. */
  domains: Record<string, DomainWindow>;
}

export interface ClusterStep {
  record: ClusterRecord;
  reply: SyncReply;
  /** The state moved: everybody should be told. */
  moved: boolean;
}

const WINDOW_BUCKETS = 10;
const MOST_DOMAINS = 1_000;
/** How long a record that was just made waits before it trips: the fleet may not have reported yet. */
const SETTLE_MS = 500;

/**
 * Takes one instance's request into a breaker's record: the fleet's state machine. Stores that can run JavaScript inside
 * a transaction use it as it is; `lua/sync.lua` says the same in Lua, and one suite of tests holds them together.
 *
 * A deadline further away than its configured maximum is due: the store's clock was set back since it was made.
 *
 * @param record is changed in place; null when the store has none
 * @param nowMs by the store's clock, with a fraction
 */
export function syncRecord(record: ClusterRecord | null, request: SyncRequest, nowMs: number): ClusterStep {
  const { settings } = request;
  if (record && record.schema > STORE_SCHEMA)
    return { record, reply: { view: viewOf(record, nowMs), leases: [] }, moved: false };
  const current = record ?? newRecord(request.nonce, nowMs);
  const before = current.generation;
  const lostByStore =
    current.incarnation === request.incarnation ? request.generation > current.generation : current.generation === 1;
  if (request.held && request.incarnation !== "" && lostByStore) {
    current.generation = Math.max(current.generation, request.generation);
    move(current, "open", request.instance, nowMs);
    current.sinceMs = request.held.sinceMs;
    current.untilMs = nowMs + Math.min(request.held.remainingMs, settings.maxOpenMs);
    current.opens = request.held.opens;
  }
  if (current.state === "closed") count(current, request, nowMs);
  if (current.state === "half-open") takeResults(current, request, nowMs);
  if (current.state === "open" && request.wanted > 0 && isDue(current.untilMs, settings.maxOpenMs, nowMs)) {
    move(current, "half-open", request.instance, nowMs);
  }
  const leases = current.state === "half-open" ? grant(current, request, nowMs) : [];
  return { record: current, reply: { view: viewOf(current, nowMs), leases }, moved: current.generation !== before };
}

export function viewOf(record: ClusterRecord, nowMs: number): FleetView {
  const { schema, incarnation, generation, state, sinceMs, opens, by, decidedAtMs } = record;
  const remainingMs = state === "open" ? Math.max(0, record.untilMs - nowMs) : 0;
  return { schema, incarnation, generation, state, sinceMs, remainingMs, opens, by, decidedAtMs };
}

function newRecord(incarnation: string, nowMs: number): ClusterRecord {
  return {
    schema: STORE_SCHEMA,
    incarnation,
    generation: 1,
    state: "closed",
    sinceMs: nowMs,
    untilMs: 0,
    opens: 0,
    by: "",
    decidedAtMs: nowMs,
    active: 0,
    waiting: null,
    trials: [],
    domains: {},
  };
}

function isDue(deadlineMs: number, longestMs: number, nowMs: number): boolean {
  return nowMs >= deadlineMs || deadlineMs - nowMs > longestMs;
}

function move(record: ClusterRecord, state: BreakerState, by: string, nowMs: number): void {
  record.generation++;
  record.state = state;
  record.sinceMs = nowMs;
  record.untilMs = 0;
  record.by = by;
  record.decidedAtMs = nowMs;
  record.waiting = null;
  record.trials = [];
  record.domains = {};
}

function open(record: ClusterRecord, request: SyncRequest, nowMs: number): void {
  move(record, "open", request.instance, nowMs);
  record.opens++;
  record.untilMs = nowMs + openTimeMs(record.opens, request.settings, request.draw);
}

function count(record: ClusterRecord, request: SyncRequest, nowMs: number): void {
  const { settings, successes, failures, tail, tripped } = request;
  const ofThisGeneration =
    request.incarnation === "" ||
    (request.incarnation === record.incarnation && request.generation === record.generation);
  if (!ofThisGeneration) return;
  if (successes + failures > 0) {
    const domain = record.domains[`d:${request.domain}`] ?? { run: 0, buckets: [] };
    record.domains[`d:${request.domain}`] = domain;
    domain.run = successes > 0 ? tail : domain.run + failures;
    domain.buckets = addToWindow(domain.buckets, successes, failures, settings, nowMs);
  }
  // Names of domains that are gone would pile up where nothing ever fails.
  if (failures === 0 && !tripped && Object.keys(record.domains).length <= MOST_DOMAINS) return;
  const evidence = activeDomains(record, settings, nowMs);
  if (failures === 0 && !tripped) return;
  if (record.generation === 1 && !isDue(record.sinceMs + SETTLE_MS, SETTLE_MS, nowMs)) return;
  const justClosed = !isDue(record.sinceMs + settings.windowMs, settings.windowMs, nowMs);
  const breadth = justClosed ? record.active : 0;
  if (!fleetTrips(evidence, { tripped, endsInFailure: tail > 0, breadth }, settings)) return;
  record.active = Math.max(evidence.length, breadth);
  open(record, request, nowMs);
}

/** Drops domains that have left the window on the way. */
function activeDomains(record: ClusterRecord, settings: BreakerSettings, nowMs: number): DomainEvidence[] {
  const evidence: DomainEvidence[] = [];
  for (const [name, domain] of Object.entries(record.domains)) {
    domain.buckets = addToWindow(domain.buckets, 0, 0, settings, nowMs);
    if (domain.buckets.length === 0) delete record.domains[name];
    else evidence.push(sum(domain));
  }
  return evidence;
}

/** Lets go of buckets outside the window, on either side, and counts into the present one. */
function addToWindow(
  buckets: readonly Bucket[],
  successes: number,
  failures: number,
  { windowMs }: BreakerSettings,
  nowMs: number,
): Bucket[] {
  const bucketMs = windowMs / WINDOW_BUCKETS;
  const startMs = Math.floor(nowMs / bucketMs) * bucketMs;
  const kept = buckets.filter(([at]) => at > nowMs - windowMs && at <= nowMs);
  if (successes + failures === 0) return kept;
  const present = kept.find(([at]) => at === startMs);
  if (present) {
    present[1] += successes;
    present[2] += failures;
  } else {
    kept.push([startMs, successes, failures]);
  }
  return kept;
}

function sum(domain: DomainWindow): DomainEvidence {
  let successes = 0;
  let failures = 0;
  for (const bucket of domain.buckets) {
    successes += bucket[1];
    failures += bucket[2];
  }
  return { successes, failures, run: domain.run };
}

function takeResults(record: ClusterRecord, request: SyncRequest, nowMs: number): void {
  const { settings } = request;
  for (const { token, outcome } of request.trials) {
    const trial = record.trials.find((candidate) => candidate.token === token && candidate.outcome === null);
    // An expired trial may have been given to somebody else: its result comes too late to count.
    if (!trial || isDue(trial.deadlineMs, settings.leaseMs, nowMs)) continue;
    if (outcome === "ignored") record.trials.splice(record.trials.indexOf(trial), 1);
    else trial.outcome = outcome;
  }
  const needed = trialsNeeded(settings);
  const successes = record.trials.filter((trial) => trial.outcome === "success").length;
  const failures = record.trials.filter((trial) => trial.outcome === "failure").length;
  if (successes >= needed) {
    move(record, "closed", request.instance, nowMs);
    record.opens = 0;
  } else if (failures > settings.halfOpenPermits - needed) {
    open(record, request, nowMs);
  }
}

function grant(record: ClusterRecord, request: SyncRequest, nowMs: number): string[] {
  const { domain, instance, renew, wanted, nonce } = request;
  const { leaseMs, halfOpenPermits } = request.settings;
  record.trials = record.trials.filter((trial) => trial.outcome !== null || !isDue(trial.deadlineMs, leaseMs, nowMs));
  const leases: string[] = [];
  const othersWait =
    record.waiting !== null && record.waiting.by !== instance && !isDue(record.waiting.atMs + leaseMs, leaseMs, nowMs);
  if (!othersWait) {
    for (const trial of record.trials) {
      if (trial.outcome !== null || !renew.includes(trial.token)) continue;
      trial.deadlineMs = nowMs + leaseMs;
      leases.push(trial.token);
    }
  }
  if (wanted === 0) return leases;
  // One domain's trials must not decide for all while others might ask; later whoever is there may have the rest.
  const young = !isDue(record.sinceMs + leaseMs, leaseMs, nowMs);
  const share = young ? Math.max(1, Math.ceil(halfOpenPermits / Math.max(1, record.active))) : halfOpenPermits;
  const ofDomain = record.trials.filter((trial) => trial.domain === domain).length;
  const granted = Math.max(0, Math.min(wanted, halfOpenPermits - record.trials.length, share - ofDomain));
  for (let place = 0; place < granted; place++) {
    const token = `${nonce}-${place}`;
    record.trials.push({ token, domain, deadlineMs: nowMs + leaseMs, outcome: null });
    leases.push(token);
  }
  if (granted > 0 && record.waiting?.by === instance) record.waiting = null;
  if (granted === 0 && record.trials.length >= halfOpenPermits) record.waiting = { by: instance, atMs: nowMs };
  return leases;
}
