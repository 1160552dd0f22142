import type { TargetPolicy } from "@holdfast/policy";
import type { Edge } from "../observe/edge.ts";
import type { Observer } from "../observe/observer.ts";
import type { PoolMember } from "../observe/pool.ts";
import { coveredMs } from "../observe/rolling.ts";
import { standsOut } from "./breaker-threshold-law.ts";
import { type ConnectionBudget, littleDemand } from "./pool-size-law.ts";
import type { DecisionSettings } from "./settings.ts";
import type { EdgeState, PoolState } from "./verdict.ts";

/** An instance that has been silent for so many of its export intervals is gone. */
const SILENT_EXPORTS = 2.5;

/** Reads what the laws and verdicts need out of what was observed. */
export class SignalReader {
  readonly #observer: Observer;
  readonly #settings: DecisionSettings;

  constructor(observer: Observer, settings: DecisionSettings) {
    this.#observer = observer;
    this.#settings = settings;
  }

  /** From when on a sign of life counts, by the monotonic clock. */
  liveSince(nowMs: number): number {
    const silenceMs = this.#observer.delay.exportGap(nowMs) * SILENT_EXPORTS;
    return nowMs - Math.max(this.#settings.windowMs, silenceMs);
  }

  /** From a change's echo to its verdict: two windows and delays at least, however late telemetry comes just now. */
  cooldownMs(nowMs: number): number {
    const { cooldownMs, windowMs } = this.#settings;
    return Math.max(cooldownMs, 2 * (windowMs + this.#observer.delay.p95(nowMs)));
  }

  liveInstances(service: string, nowMs: number): number {
    return this.#observer.fleet(service)?.live(this.liveSince(nowMs)) ?? 0;
  }

  /** How the edge fares over the window. */
  edgeState(edge: Edge | undefined, nowMs: number): EdgeState {
    const total = edge?.window.total(nowMs);
    if (total === undefined) return { calls: 0, failures: 0, p99Ms: 0 };
    return { calls: total.samples, failures: total.failedSamples, p99Ms: total.latency.quantile(0.99) };
  }

  /** Why the edge is not as usual; undefined when it is. */
  anomaly(
    edge: Edge | undefined,
    policy: TargetPolicy,
    baseline: number | undefined,
    nowMs: number,
  ): string | undefined {
    if (edge === undefined) return undefined;
    const state = edge.breakerState(this.liveSince(nowMs));
    if (state === "open" || state === "half-open") return `the breaker is ${state}`;
    if (edge.rejections.total(nowMs).sum > 0) return "calls were rejected";
    const { calls, failures } = this.edgeState(edge, nowMs);
    // Before there is a baseline, what would open the breaker is an incident.
    const usual = baseline ?? Math.max(0, policy.breaker.failureRateThreshold - 0.1);
    return standsOut(calls, failures, usual) ? "failures stand out from the baseline" : undefined;
  }

  /** Calls that one instance's breaker sees in one of its windows. */
  callsPerBreakerWindow(edge: Edge | undefined, policy: TargetPolicy, instances: number, nowMs: number): number {
    const calls = edge?.window.total(nowMs).calls ?? 0;
    const perMs = calls / coveredMs(this.#settings.windowMs, nowMs);
    return (perMs * policy.breaker.windowMs) / Math.max(1, instances);
  }

  poolMembers(service: string, target: string, nowMs: number): PoolMember[] {
    const members = this.#observer.pool(service, target)?.members(this.liveSince(nowMs), nowMs) ?? [];
    return members.filter((member) => member.size > 0);
  }

  poolState(members: readonly PoolMember[]): PoolState {
    const waits = sum(members, (member) => member.waits);
    const uses = sum(members, (member) => member.uses);
    return {
      waitMeanMs: waits === 0 ? 0 : sum(members, (member) => member.waits * member.waitMeanMs) / waits,
      serviceTimeMs: uses === 0 ? 0 : sum(members, (member) => member.uses * member.useMeanMs) / uses,
      throughput: sum(members, (member) => member.usesPerSecond),
    };
  }

  /** The instance whose pool has the most to do: all of them get what it needs. */
  busiest(members: readonly PoolMember[]): { throughput: number; serviceTimeMs: number; demand: number } {
    let most = { throughput: 0, serviceTimeMs: 0, demand: 1 };
    for (const { usesPerSecond: throughput, useMeanMs: serviceTimeMs } of members) {
      const demand = littleDemand(throughput, serviceTimeMs);
      if (demand > most.demand || most.throughput === 0) most = { throughput, serviceTimeMs, demand };
    }
    return most;
  }

  /** What the database allows, and what the fleet's other pools may take of it. */
  budget(service: string, target: string, nowMs: number): ConnectionBudget | undefined {
    const { maxConnections, reservedConnections } = this.#settings;
    if (maxConnections === undefined) return undefined;
    const since = this.liveSince(nowMs);
    let others = 0;
    for (const pool of this.#observer.pools.values()) {
      if (pool.service === service && pool.target === target) continue;
      others += sum(pool.members(since, nowMs), (member) => member.size);
    }
    return { maxConnections, reserved: reservedConnections, others };
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
