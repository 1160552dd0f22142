import type { BreakerSettings } from "./settings.ts";

/** What one failure domain reported within the window. */
export interface DomainEvidence {
  readonly successes: number;
  readonly failures: number;
  /** Failures since the domain's last success. */
  readonly run: number;
}

/** What the report at hand adds to the question. */
export interface Report {
  /** An instance says that its own window tripped. */
  readonly tripped: boolean;
  /** The last of the reported calls failed: nothing else completes a run. */
  readonly endsInFailure: boolean;
  /** How many domains the fleet is known to have had, where not all may have reported yet. 0 when nothing is known. */
  readonly breadth: number;
}

/**
 * How many failing domains a trip of the fleet takes: all of one or two, else a fifth and at least two. Counted by domain
 * and not by process, so that one bad host is one voice however many processes run on it.
 */
export function domainsNeeded(domains: number): number {
  return domains <= 1 ? 1 : Math.max(2, Math.ceil(domains / 5));
}

/**
 * Whether the fleet's window trips. A domain is active when it finished a call within the window; `needed` is
 * `domainsNeeded` of the active ones, or of those that were active when the fleet last opened if they were more and the
 * close is less than a window ago: the first to report after a close must not pass for the only one. Either of two rules:
 *
 * - rate: the fleet finished `minimumCalls`, its failure rate is `failureRateThreshold` or more, also when the domain with
 *   most failures is left out; and at least `needed` domains have a failure rate like that themselves. A fleet with one
 *   active domain need not have finished `minimumCalls` when an instance of it says that its own window tripped.
 * - run: domains whose last call failed outnumber the others, are at least `needed`, and have `consecutiveFailures` failures
 *   in a row between them.
 *
 * One bad host cannot meet either, however much traffic it draws by failing fast.
 */
export function fleetTrips(
  domains: Iterable<DomainEvidence>,
  report: Report,
  settings: Pick<BreakerSettings, "minimumCalls" | "failureRateThreshold" | "consecutiveFailures">,
): boolean {
  const { minimumCalls, failureRateThreshold, consecutiveFailures } = settings;
  const atRate = (failures: number, calls: number): boolean => failures > 0 && failures >= failureRateThreshold * calls;
  let active = 0;
  let calls = 0;
  let failures = 0;
  let failing = 0;
  let down = 0;
  let run = 0;
  let worstFailures = 0;
  let worstCalls = 0;
  for (const domain of domains) {
    const domainCalls = domain.successes + domain.failures;
    if (domainCalls === 0) continue;
    active++;
    calls += domainCalls;
    failures += domain.failures;
    if (atRate(domain.failures, domainCalls)) failing++;
    if (domain.run > 0) {
      down++;
      run += domain.run;
    }
    // Of several with as many failures the one with fewest calls: a fixed choice, and the one that asks most of the rest.
    if (domain.failures > worstFailures || (domain.failures === worstFailures && domainCalls < worstCalls)) {
      worstFailures = domain.failures;
      worstCalls = domainCalls;
    }
  }
  const domainsThere = Math.max(active, report.breadth);
  const needed = domainsNeeded(domainsThere);
  const runs = consecutiveFailures > 0 && (report.tripped || report.endsInFailure);
  if (runs && run >= consecutiveFailures && down >= needed && down > domainsThere - down) return true;
  const enough = calls >= minimumCalls || (domainsThere === 1 && report.tripped);
  if (!enough || failing < needed || !atRate(failures, calls)) return false;
  return active === 1 || atRate(failures - worstFailures, calls - worstCalls);
}
