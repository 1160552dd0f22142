import type { LawResult, Signals } from "./law.ts";

export interface PoolSignals {
  /** Connections that each instance may open now. */
  size: number;
  /** Live instances that have such a pool. */
  instances: number;
  /** Connections handed out in the window, all instances. */
  waits: number;
  /** Mean time a caller waited for one, in milliseconds. */
  waitMeanMs: number;
  /** Connections given back a second, of the busiest instance. */
  throughput: number;
  /** Mean time a connection was held, in milliseconds. */
  serviceTimeMs: number;
  /** The most connections that Little's law asked for lately; shrinking follows it, growing does not wait for it. */
  recentDemand: number;
  /** What the database allows all pools together; absent when nobody said. */
  budget: ConnectionBudget | undefined;
}

export interface ConnectionBudget {
  /** `max_connections` of the database. */
  maxConnections: number;
  /** Connections kept for others: superusers, migrations, people. */
  reserved: number;
  /** Connections that the other pools of the fleet may open. */
  others: number;
}

/** Room above what Little's law asks for. */
const HEADROOM = 1.25;
/** A caller may wait this long before more connections are thought of. */
export const LONG_WAIT_MS = 20;
/** Below this nobody waits, and connections may go. */
const SHORT_WAIT_MS = LONG_WAIT_MS / 4;
/** Share of the connections that are free for pools which they may fill. */
const BUDGET_SHARE = 0.8;
/** Fewer tell nothing. */
const LEAST_WAITS = 20;

/**
 * How many connections each instance's pool needs: throughput x service time x 1.25 (Little, 1961), grown only when
 * callers wait more than 20 ms for one, and never beyond 0.8 x (max_connections - reserved) for all live instances and
 * all pools together. Without that guard tuning pools is worse than leaving them alone, so without a limit nothing grows.
 */
export function poolSizeLaw(signals: PoolSignals): LawResult {
  const { size, instances, waits, waitMeanMs } = signals;
  if (instances === 0 || size === 0) return { hold: "no instance reports its pool" };
  const most = guardedSize(signals);
  if (most !== undefined && size > Math.max(1, most))
    return {
      propose: {
        value: Math.max(1, most),
        binding: "connection-guard",
        reason: `${instances} instances with ${size} connections each are more than the database is to carry`,
        signals: told(signals, most),
        urgent: true,
      },
    };
  if (waits < LEAST_WAITS) return { hold: "too few connections were asked for" };
  const demand = littleDemand(signals.throughput, signals.serviceTimeMs);
  if (waitMeanMs > LONG_WAIT_MS) return grow(signals, demand, most);
  if (waitMeanMs >= SHORT_WAIT_MS) return { hold: "callers wait a little, as they should" };
  const needed = Math.max(demand, signals.recentDemand);
  if (needed >= size) return { hold: "the pool is as large as it must be" };
  return {
    propose: {
      value: needed,
      binding: "demand",
      reason: `callers wait ${ms(waitMeanMs)}, and ${needed} connections would do`,
      signals: told(signals, most),
    },
  };
}

/** Connections that so many calls a second of such a length keep busy, with headroom; at least 1. */
export function littleDemand(throughput: number, serviceTimeMs: number): number {
  return Math.max(1, Math.ceil(((throughput * serviceTimeMs) / 1_000) * HEADROOM));
}

function grow(signals: PoolSignals, demand: number, most: number | undefined): LawResult {
  const { size, waitMeanMs } = signals;
  if (most === undefined) return { hold: "nobody said how many connections the database allows (--max-connections)" };
  // A full pool hides demand: Little sees what got through, so a quarter more is asked for each time.
  const wanted = Math.max(demand, size + 1);
  const value = Math.min(wanted, most);
  if (value <= size) return { hold: "the database allows no more connections" };
  return {
    propose: {
      value,
      binding: value < wanted ? "connection-guard" : "demand",
      reason: `callers wait ${ms(waitMeanMs)} for a connection`,
      signals: told(signals, most),
    },
  };
}

/** The largest size that keeps the fleet within the database's connections; undefined when they are not known. */
function guardedSize({ budget, instances }: PoolSignals): number | undefined {
  if (budget === undefined) return undefined;
  const allowed = BUDGET_SHARE * (budget.maxConnections - budget.reserved) - budget.others;
  return Math.max(0, Math.floor(allowed / instances));
}

function told(signals: PoolSignals, most: number | undefined): Signals {
  const { instances, waits, waitMeanMs, throughput, serviceTimeMs, recentDemand, budget } = signals;
  return {
    instances,
    waits,
    wait_mean_ms: waitMeanMs,
    throughput_per_s: throughput,
    service_time_ms: serviceTimeMs,
    demand: littleDemand(throughput, serviceTimeMs),
    recent_demand: recentDemand,
    ...(budget === undefined ? {} : { max_connections: budget.maxConnections, other_pools: budget.others }),
    ...(most === undefined ? {} : { guarded_size: most }),
  };
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
