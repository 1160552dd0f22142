import { randomUUID } from "node:crypto";
import { type Clock, HoldfastError, type Logger, newSpanId, newTraceId } from "@holdfast/core";
import { getTunable, type Policy, type TargetPolicy, type Tunable, tunables } from "@holdfast/policy";
import type { Observer } from "../observe/observer.ts";
import type { Decision } from "./decision.ts";
import { EdgeWatch } from "./edge-watch.ts";
import { guardProposal } from "./guardrails.ts";
import type { LawResult, Proposal } from "./law.ts";
import type { OverrideBook } from "./override-book.ts";
import type { DecisionSettings } from "./settings.ts";
import type { SignalReader } from "./signals.ts";
import type { Teller } from "./teller.ts";
import { echoOf, type Outcome, Trial } from "./trial.ts";

export interface EdgeTunerOptions {
  policy: Policy;
  observer: Observer;
  signals: SignalReader;
  settings: DecisionSettings;
  book: OverrideBook;
  teller: Teller;
  clock: Clock;
  logger: Logger;
}

/** What people are shown of an edge's tuning. */
export interface TuningView {
  /** The usual share of failures. */
  baseline: number | null;
  anomaly: string | null;
  /** Why each knob was left alone at the last look. */
  holds: Readonly<Record<string, string>>;
  /** The decision whose effect is awaited. */
  trial: string | null;
}

const LAWS: Readonly<Record<Tunable, string>> = {
  "breaker.failureRateThreshold": "breaker-threshold",
  "pool.size": "pool-size",
};
/** The finest step of each knob. */
const GRAINS: Readonly<Record<Tunable, number>> = { "breaker.failureRateThreshold": 0.01, "pool.size": 1 };

/** For how many cooldowns a knob that had to be put back is left alone, and growth that brought nothing is not repeated. */
const FROZEN_COOLDOWNS = 10;

/** Tunes one service's calls to one target: one knob at a time, each change confirmed and judged before the next. */
export class EdgeTuner {
  readonly service: string;
  readonly target: string;
  readonly #options: EdgeTunerOptions;
  readonly #watch: EdgeWatch;
  readonly #holds = new Map<Tunable, string>();
  readonly #frozenUntilMs = new Map<Tunable, number>();
  readonly #shadowed = new Map<Tunable, number>();
  #quietUntilMs = Number.NEGATIVE_INFINITY;
  #growthBarredUntilMs = Number.NEGATIVE_INFINITY;
  #trial: Trial | undefined;
  /** Knobs take turns: the one that moved last asks last. */
  #order: readonly Tunable[] = tunables;

  constructor(options: EdgeTunerOptions) {
    const { service, target } = options.book.id;
    this.#options = options;
    this.service = service;
    this.target = target;
    this.#watch = new EdgeWatch({ ...options, service, target });
  }

  get view(): TuningView {
    return {
      baseline: this.#watch.baseline ?? null,
      anomaly: this.#watch.anomaly ?? null,
      holds: Object.fromEntries(this.#holds),
      trial: this.#trial?.decision.id ?? null,
    };
  }

  /** @throws HoldfastError POLICY_STORE_UNAVAILABLE, CONTROLLER_REPLACED */
  async tick(): Promise<void> {
    const { policy, clock, book, signals } = this.#options;
    const nowMs = clock.monotonic();
    const target = policy.target(this.target);
    this.#watch.look(target, nowMs);
    const mode = this.#mode(target);
    const { bounds } = target.tuning;
    if (Object.keys(bounds).length === 0) return this.#holdAll("the policy gives no bounds");
    await book.refresh();
    if (book.fenced)
      throw new HoldfastError("CONTROLLER_REPLACED", `another controller writes ${this.service}/${this.target} now`);
    if (mode !== "apply") await this.#withdraw(mode);
    if (mode === "off") return this.#holdAll("tuning is off");
    if (this.#trial !== undefined) {
      const outcome = this.#trial.step(nowMs, signals.cooldownMs(nowMs));
      if (outcome !== undefined) await this.#conclude(outcome, nowMs);
      return;
    }
    if (signals.liveInstances(this.service, nowMs) === 0) return this.#holdAll("no instance reports its policy");
    const stored = book.controller;
    // What instances do not take is not renewed either: it ends by itself.
    if (stored !== undefined && !echoOf(this.#options, stored, nowMs).enough)
      return this.#holdAll("instances do not run the last change yet");
    await this.#renew();
    for (const knob of this.#order) {
      const decision = this.#consider(knob, target, nowMs);
      if (decision === undefined) continue;
      if (decision.mode === "apply") await this.#apply(decision, nowMs);
      else this.#propose(decision, nowMs);
      return;
    }
  }

  #mode({ tuning }: TargetPolicy): TargetPolicy["tuning"]["mode"] {
    return tuning.mode === "apply" && this.#options.settings.shadowOnly ? "shadow" : tuning.mode;
  }

  #holdAll(reason: string): void {
    for (const knob of tunables) this.#holds.set(knob, reason);
  }

  /** Takes back what is stored when values are no longer to be applied. */
  async #withdraw(mode: "shadow" | "off"): Promise<void> {
    const { book, logger } = this.#options;
    const stored = book.controller;
    if (stored === undefined) return;
    const { decisionId } = stored;
    const written = await book.write({ values: {}, reason: `tuning is set to ${mode}`, decisionId, deleted: true });
    if (written.ok) logger.info({ ...book.id, decisionId, mode }, "override withdrawn");
  }

  /** A value that still holds is written again before it expires. */
  async #renew(): Promise<void> {
    const { book, settings, clock } = this.#options;
    const stored = book.controller;
    if (stored === undefined || stored.expiresAtMs - clock.now() > settings.overrideTtlMs / 2) return;
    const { values, reason, decisionId } = stored;
    await book.write({ values, reason, decisionId });
  }

  /** What becomes of a knob now; undefined when it is left alone, and `holds` says why. */
  #consider(knob: Tunable, policy: TargetPolicy, nowMs: number): Decision | undefined {
    const { book } = this.#options;
    const bound = policy.tuning.bounds[knob];
    const old = book.controller?.values[knob] ?? getTunable(policy, knob);
    const result = this.#permitted(knob, policy, nowMs);
    if (bound === undefined || "hold" in result) {
      this.#holds.set(knob, "hold" in result ? result.hold : "the policy gives no bounds");
      return undefined;
    }
    const guarded = guardProposal({ old, proposal: result.propose, bound, grain: GRAINS[knob] });
    const hold = "hold" in guarded ? guarded.hold : this.#objection(knob, old, guarded.value, nowMs);
    if ("hold" in guarded || hold !== undefined) {
      this.#holds.set(knob, hold!);
      return undefined;
    }
    this.#holds.delete(knob);
    return this.#decision(knob, policy, { ...result.propose, ...guarded }, old, nowMs);
  }

  /** The law's answer, unless it is not the time for one. */
  #permitted(knob: Tunable, policy: TargetPolicy, nowMs: number): LawResult {
    if (this.#options.book.operator?.values[knob] !== undefined) return { hold: "an operator has set it" };
    const result = this.#watch.ask(knob, policy, nowMs);
    if ("hold" in result || result.propose.urgent === true) return result;
    if (this.#watch.anomaly !== undefined) return { hold: this.#watch.anomaly };
    if (nowMs < this.#quietUntilMs) return { hold: "in cooldown" };
    if (nowMs < (this.#frozenUntilMs.get(knob) ?? 0)) return { hold: "left alone after it had to be put back" };
    return result;
  }

  /** What speaks against this very change. */
  #objection(knob: Tunable, old: number, value: number, nowMs: number): string | undefined {
    if (value <= old) return this.#shadowed.get(knob) === value ? "proposed before" : undefined;
    if (knob === "pool.size" && nowMs < this.#growthBarredUntilMs) return "more connections brought nothing before";
    const cooldownMs = this.#options.signals.cooldownMs(nowMs);
    if (knob === "breaker.failureRateThreshold" && !this.#watch.calmFor(cooldownMs, nowMs))
      return "a threshold is loosened only after a cooldown of calm";
    return this.#shadowed.get(knob) === value ? "proposed before" : undefined;
  }

  #decision(
    knob: Tunable,
    policy: TargetPolicy,
    proposal: Proposal & { value: number },
    old: number,
    nowMs: number,
  ): Decision {
    const { book, clock, settings, signals } = this.#options;
    const { edge } = this.#watch;
    const { calls, failures } = signals.edgeState(edge, nowMs);
    const isPool = knob === "pool.size";
    const applies = this.#mode(policy) === "apply";
    return {
      id: randomUUID(),
      atMs: clock.now(),
      ...book.id,
      knob,
      old,
      new: proposal.value,
      mode: applies ? "apply" : "shadow",
      law: LAWS[knob],
      binding: proposal.binding,
      reason: proposal.reason,
      windowMs: settings.windowMs,
      n: isPool ? (proposal.signals.waits ?? 0) : calls,
      signals: isPool ? proposal.signals : { ...proposal.signals, window_calls: calls, window_failures: failures },
      exemplars: edge?.exemplars.since(nowMs - 2 * settings.windowMs) ?? [],
      span: { traceId: newTraceId(), spanId: newSpanId() },
      state: applies ? "writing" : "shadow",
      verdict: applies ? "pending" : "none",
    };
  }

  /** In shadow a decision is only told, and the same one only once. */
  #propose(decision: Decision, nowMs: number): void {
    const { signals, teller } = this.#options;
    this.#shadowed.set(decision.knob, decision.new);
    this.#quietUntilMs = nowMs + signals.cooldownMs(nowMs);
    teller.decided(decision);
  }

  async #apply(decision: Decision, nowMs: number): Promise<void> {
    const { book, teller } = this.#options;
    const { knob, reason, id: decisionId } = decision;
    // The row is there before the change is: nothing ever runs that nobody can explain.
    teller.note(decision);
    const trial = new Trial(decision, { ...this.#options, watch: this.#watch }, nowMs);
    this.#trial = trial;
    this.#order = [...this.#order.filter((other) => other !== knob), knob];
    const values = { ...book.controller?.values, [knob]: decision.new };
    const written = await book.write({ values, reason, decisionId });
    if (written.ok) trial.written(written.epoch, written.version);
    else {
      this.#trial = undefined;
      trial.refused(written.reason);
    }
  }

  async #conclude({ decision, judgement }: Outcome, nowMs: number): Promise<void> {
    const { signals } = this.#options;
    this.#trial = undefined;
    if (judgement === undefined) return;
    const { knob, old, new: value } = decision;
    const frozenUntilMs = nowMs + FROZEN_COOLDOWNS * signals.cooldownMs(nowMs);
    if (knob === "pool.size" && value > old && judgement.verdict !== "improved")
      this.#growthBarredUntilMs = frozenUntilMs;
    // A guard that had to be restored is not taken back, and neither is what took something back.
    const final = decision.binding === "connection-guard" && value < old;
    if (judgement.verdict !== "worse" || final || decision.rollsBack !== undefined) return;
    this.#frozenUntilMs.set(knob, frozenUntilMs);
    await this.#apply(this.#rollBack(decision, judgement.reason), nowMs);
  }

  #rollBack(decision: Decision, reason: string): Decision {
    const { clock } = this.#options;
    return {
      ...decision,
      id: randomUUID(),
      atMs: clock.now(),
      old: decision.new,
      new: decision.old,
      law: "rollback",
      binding: "verdict",
      reason,
      signals: decision.after ?? {},
      // The decision that is taken back is the evidence.
      exemplars: [decision.span],
      span: { traceId: newTraceId(), spanId: newSpanId() },
      state: "writing",
      epoch: undefined,
      version: undefined,
      confirmed: undefined,
      verdict: "pending",
      verdictReason: undefined,
      before: undefined,
      after: undefined,
      rollsBack: decision.id,
    };
  }
}
