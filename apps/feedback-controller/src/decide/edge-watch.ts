import { getTunable, type TargetPolicy, type Tunable } from "@holdfast/policy";
import type { Edge } from "../observe/edge.ts";
import type { Observer } from "../observe/observer.ts";
import { Baseline } from "./baseline.ts";
import { breakerThresholdLaw } from "./breaker-threshold-law.ts";
import type { LawResult } from "./law.ts";
import { poolSizeLaw } from "./pool-size-law.ts";
import { RecentMax } from "./recent-max.ts";
import type { DecisionSettings } from "./settings.ts";
import type { SignalReader } from "./signals.ts";

export interface EdgeWatchOptions {
  service: string;
  target: string;
  observer: Observer;
  signals: SignalReader;
  settings: DecisionSettings;
}

/** How slow a baseline is, in windows. */
const BASELINE_HALF_LIFE_WINDOWS = 30;
/** For how many windows a peak keeps a pool from shrinking (HPA's down-stabilisation: 5 min at windows of one). */
const STABILISE_WINDOWS = 5;

/** What is learnt of one edge over time, whether anything may be decided or not: its baseline, its calm, its peaks. */
export class EdgeWatch {
  readonly #options: EdgeWatchOptions;
  readonly #baseline: Baseline;
  readonly #demand: RecentMax;
  #samples = 0;
  #failedSamples = 0;
  #anomaly: string | undefined;
  #calmSinceMs: number | undefined;
  #poolSinceMs: number | undefined;

  constructor(options: EdgeWatchOptions) {
    const { windowMs } = options.settings;
    this.#options = options;
    this.#baseline = new Baseline({ halfLifeMs: BASELINE_HALF_LIFE_WINDOWS * windowMs, quarantineMs: windowMs });
    this.#demand = new RecentMax(STABILISE_WINDOWS * windowMs);
  }

  get edge(): Edge | undefined {
    return this.#options.observer.edge(this.#options.service, this.#options.target);
  }

  /** The usual share of failures; undefined before anything is known. */
  get baseline(): number | undefined {
    return this.#baseline.estimate?.ratio;
  }

  /** Why the edge is not as usual; undefined when it is. */
  get anomaly(): string | undefined {
    return this.#anomaly;
  }

  /** Whether the edge has been as usual for so long. */
  calmFor(durationMs: number, nowMs: number): boolean {
    return this.#calmSinceMs !== undefined && nowMs - this.#calmSinceMs >= durationMs;
  }

  look(policy: TargetPolicy, nowMs: number): void {
    const { signals, service, target } = this.#options;
    const { edge } = this;
    this.#anomaly = signals.anomaly(edge, policy, this.baseline, nowMs);
    if (this.#anomaly !== undefined) this.#calmSinceMs = undefined;
    else this.#calmSinceMs ??= nowMs;
    if (edge !== undefined) {
      const calls = edge.samples - this.#samples;
      const failures = edge.failedSamples - this.#failedSamples;
      this.#samples = edge.samples;
      this.#failedSamples = edge.failedSamples;
      // An edge that was idle for long is made anew and counts from 0.
      if (calls >= 0) this.#baseline.step(nowMs, calls, failures, this.#anomaly !== undefined);
    }
    const members = signals.poolMembers(service, target, nowMs);
    if (members.length === 0) this.#poolSinceMs = undefined;
    else {
      this.#poolSinceMs ??= nowMs;
      this.#demand.add(signals.busiest(members).demand, nowMs);
    }
  }

  /** What the knob's law makes of the edge. */
  ask(knob: Tunable, policy: TargetPolicy, nowMs: number): LawResult {
    return knob === "pool.size" ? this.#askPool(policy, nowMs) : this.#askThreshold(policy, nowMs);
  }

  #askThreshold(policy: TargetPolicy, nowMs: number): LawResult {
    const { signals, settings, service } = this.#options;
    if (policy.mode === "off") return { hold: "the breaker is off" };
    if (this.#anomaly === undefined && !this.calmFor(settings.windowMs, nowMs)) return { hold: "calm is too young" };
    const instances = signals.liveInstances(service, nowMs);
    return breakerThresholdLaw({
      baseline: this.#baseline.estimate,
      anomaly: this.#anomaly,
      callsPerBreakerWindow: signals.callsPerBreakerWindow(this.edge, policy, instances, nowMs),
      minimumCalls: policy.breaker.minimumCalls,
    });
  }

  #askPool(policy: TargetPolicy, nowMs: number): LawResult {
    const { signals, settings, service, target } = this.#options;
    const members = signals.poolMembers(service, target, nowMs);
    const { throughput, serviceTimeMs } = signals.busiest(members);
    // What the pools say that they are: that is what callers wait for.
    const size = members.reduce((largest, member) => Math.max(largest, member.size), 0);
    const result = poolSizeLaw({
      size,
      instances: members.length,
      waits: members.reduce((total, member) => total + member.waits, 0),
      waitMeanMs: signals.poolState(members).waitMeanMs,
      throughput,
      serviceTimeMs,
      recentDemand: this.#demand.value(nowMs) ?? Math.max(size, getTunable(policy, "pool.size")),
      budget: signals.budget(service, target, nowMs),
    });
    const young = this.#poolSinceMs === undefined || nowMs - this.#poolSinceMs < settings.windowMs;
    if ("propose" in result && result.propose.urgent !== true && young)
      return { hold: "a whole window is not seen yet" };
    return result;
  }
}
