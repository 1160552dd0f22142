import type { Clock } from "@holdfast/core";
import type { Observer } from "../observe/observer.ts";
import type { Decision } from "./decision.ts";
import type { EdgeWatch } from "./edge-watch.ts";
import type { Signals } from "./law.ts";
import type { OverrideBook } from "./override-book.ts";
import type { DecisionSettings } from "./settings.ts";
import type { SignalReader } from "./signals.ts";
import type { Teller } from "./teller.ts";
import { type EdgeState, type Judgement, judgePool, judgeThreshold, type PoolState } from "./verdict.ts";

export interface TrialOptions {
  observer: Observer;
  signals: SignalReader;
  watch: EdgeWatch;
  settings: DecisionSettings;
  book: OverrideBook;
  teller: Teller;
  clock: Clock;
}

/** A trial ended: with a verdict, or without one because it never ran or something else came over it. */
export interface Outcome {
  decision: Decision;
  judgement: Judgement | undefined;
}

/** Share of the live instances that must run what was written before anything else is. */
const ECHO_SHARE = 0.8;
/** How many cooldowns a verdict waits for calm. */
const PATIENCE_COOLDOWNS = 5;
/** Fewer calls than these are no share of anything. */
const LEAST_CALLS = 10;

/** Whether enough of a service's live instances run a version of the controller's layer, and how many. */
export function echoOf(
  { observer, signals, book }: Pick<TrialOptions, "observer" | "signals" | "book">,
  wanted: { epoch: number; version: number },
  nowMs: number,
): { instances: number; live: number; enough: boolean } {
  const fleet = observer.fleet(book.id.service);
  const since = signals.liveSince(nowMs);
  const live = fleet?.live(since) ?? 0;
  const instances = fleet?.echoing(book.id.target, wanted, since) ?? 0;
  return { instances, live, enough: live > 0 && instances >= Math.ceil(ECHO_SHARE * live) };
}

/** One change on its way: written, echoed by the instances, judged by its effect. */
export class Trial {
  readonly #options: TrialOptions;
  readonly #beforeEdge: EdgeState;
  readonly #beforePool: PoolState;
  readonly #writtenAtMs: number;
  #decision: Decision;
  #confirmedAtMs: number | undefined;
  #opened = false;
  #worstRatio = 0;

  constructor(decision: Decision, options: TrialOptions, nowMs: number) {
    this.#options = options;
    this.#decision = decision;
    this.#writtenAtMs = nowMs;
    this.#beforeEdge = options.signals.edgeState(options.watch.edge, nowMs);
    this.#beforePool = this.#poolState(nowMs);
  }

  get decision(): Decision {
    return this.#decision;
  }

  /** The store took it. */
  written(epoch: number, version: number): void {
    this.#decision = { ...this.#decision, state: "written", epoch, version };
    this.#options.teller.decided(this.#decision);
  }

  /** The store did not take it. */
  refused(reason: string): Outcome {
    this.#decision = { ...this.#decision, state: "refused", verdict: "none", verdictReason: reason };
    this.#options.teller.judged(this.#decision);
    return { decision: this.#decision, judgement: undefined };
  }

  /** One look later. @returns undefined while it goes on */
  step(nowMs: number, cooldownMs: number): Outcome | undefined {
    this.#watch(nowMs);
    const { book } = this.#options;
    const stored = book.controller;
    const isOurs = stored?.decisionId === this.#decision.id;
    if (this.#decision.state === "writing") {
      // The store gave no answer when it was asked; now it shows what became of the write.
      if (!isOurs) return this.refused("the store did not take it");
      this.written(stored!.epoch, stored!.version);
    }
    if (!isOurs) return this.#overtaken("something else was written, or the override expired");
    if (book.operator?.values[this.#decision.knob] !== undefined) return this.#overtaken("an operator has set it");
    if (this.#confirmedAtMs === undefined) {
      this.#confirm(nowMs);
      return undefined;
    }
    if (nowMs - this.#confirmedAtMs < cooldownMs) return undefined;
    const judgement = this.#judge(nowMs, nowMs - this.#confirmedAtMs > PATIENCE_COOLDOWNS * cooldownMs);
    return judgement === undefined ? undefined : this.#judged(judgement, nowMs);
  }

  #watch(nowMs: number): void {
    const { signals, watch } = this.#options;
    if (this.#confirmedAtMs === undefined) return;
    const state = watch.edge?.breakerState(this.#confirmedAtMs);
    if (state === "open" || state === "half-open") this.#opened = true;
    const { calls, failures } = signals.edgeState(watch.edge, nowMs);
    if (calls >= LEAST_CALLS) this.#worstRatio = Math.max(this.#worstRatio, failures / calls);
  }

  #confirm(nowMs: number): void {
    const { teller, clock } = this.#options;
    const { epoch = 0, version = 0 } = this.#decision;
    const { instances, live, enough } = echoOf(this.#options, { epoch, version }, nowMs);
    if (!enough) return;
    this.#confirmedAtMs = nowMs;
    const afterMs = Math.round(nowMs - this.#writtenAtMs);
    const confirmed = { atMs: clock.now(), instances, live, afterMs };
    this.#decision = { ...this.#decision, state: "confirmed", confirmed };
    teller.confirmed(this.#decision);
  }

  /** @returns undefined when this is no time to judge */
  #judge(nowMs: number, impatient: boolean): Judgement | undefined {
    const { signals, watch, settings } = this.#options;
    const { knob, old, new: value } = this.#decision;
    // What is left of an incident in the window would be taken for the change's doing.
    const calm = watch.calmFor(settings.windowMs, nowMs);
    const late: Judgement = { verdict: "unchanged", reason: "no calm came to compare in" };
    if (knob === "pool.size") {
      if (!calm) return impatient ? late : undefined;
      return judgePool({ old, new: value, before: this.#beforePool, after: this.#poolState(nowMs) });
    }
    const trial = { old, new: value, before: this.#beforeEdge, opened: this.#opened, worstRatio: this.#worstRatio };
    if (calm) return judgeThreshold({ ...trial, after: signals.edgeState(watch.edge, nowMs) });
    // In an incident a threshold may be tightened again, or freed of a change that made the incident; else wait.
    if (value > old && watch.anomaly !== undefined)
      return { verdict: "worse", reason: `loosened, and then: ${watch.anomaly}` };
    if (this.#opened && this.#worstRatio < old) return judgeThreshold({ ...trial, after: this.#beforeEdge });
    return impatient ? late : undefined;
  }

  #judged(judgement: Judgement, nowMs: number): Outcome {
    const { teller } = this.#options;
    const { verdict, reason: verdictReason } = judgement;
    const isPool = this.#decision.knob === "pool.size";
    const before = isPool ? poolSignals(this.#beforePool) : edgeSignals(this.#beforeEdge);
    const { signals, watch } = this.#options;
    const after = isPool ? poolSignals(this.#poolState(nowMs)) : edgeSignals(signals.edgeState(watch.edge, nowMs));
    this.#decision = { ...this.#decision, state: "judged", verdict, verdictReason, before, after };
    teller.judged(this.#decision);
    return { decision: this.#decision, judgement };
  }

  #overtaken(verdictReason: string): Outcome {
    this.#decision = { ...this.#decision, state: "overtaken", verdict: "none", verdictReason };
    this.#options.teller.judged(this.#decision);
    return { decision: this.#decision, judgement: undefined };
  }

  #poolState(nowMs: number): PoolState {
    const { signals, book } = this.#options;
    return signals.poolState(signals.poolMembers(book.id.service, book.id.target, nowMs));
  }
}

function edgeSignals({ calls, failures, p99Ms }: EdgeState): Signals {
  return { calls, failures, p99_ms: p99Ms };
}

function poolSignals({ waitMeanMs, serviceTimeMs, throughput }: PoolState): Signals {
  return { wait_mean_ms: waitMeanMs, service_time_ms: serviceTimeMs, throughput_per_s: throughput };
}
