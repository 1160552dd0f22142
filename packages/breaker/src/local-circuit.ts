import type { Random } from "@holdfast/core";
import { openTimeMs } from "./open-time.ts";
import type { BreakerState } from "./permit.ts";
import { RingWindow } from "./ring-window.ts";
import type { BreakerSettings } from "./settings.ts";
import type { TrialOutcome } from "./store.ts";
import { trialsNeeded, windowTrips } from "./trip-rule.ts";

/**
 * A holder gives a trial up after this share of its lease: the report must reach the store before the lease ends there.
 */
export const TRIAL_SHARE = 0.8;

/** What an instance's own window held when it tripped. */
export interface TripEvidence {
  readonly successes: number;
  readonly failures: number;
  readonly run: number;
}

/** One trial call of an instance's own half-open round. */
export interface LocalTrial {
  readonly deadlineMs: number;
}

/**
 * The circuit as one instance would run it alone: closed, open for a growing time, half-open with a few trials at a time.
 * All times are monotonic and brought by the caller; nothing here has a timer.
 */
export class LocalCircuit {
  readonly window: RingWindow;
  #state: BreakerState = "closed";
  #opens = 0;
  #openUntilMs = 0;
  #trials = new Set<LocalTrial>();
  #trialSuccesses = 0;
  #trialFailures = 0;
  /** The open was taken over from the fleet: no evidence of this instance's own stands behind it. */
  #borrowed = false;
  #evidence: TripEvidence | null = null;
  #settings: Readonly<BreakerSettings>;
  readonly #random: Random;

  constructor(settings: Readonly<BreakerSettings>, random: Random) {
    this.#settings = settings;
    this.#random = random;
    this.window = new RingWindow(settings.windowMs);
  }

  get state(): BreakerState {
    return this.#state;
  }

  get opens(): number {
    return this.#opens;
  }

  get borrowed(): boolean {
    return this.#borrowed;
  }

  /** Why this instance is not closed: null while it is, and while nothing of its own stands behind it. */
  get evidence(): TripEvidence | null {
    return this.#evidence;
  }

  /** How much of the open time is left, in milliseconds; 0 unless open. */
  remainingMs(nowMs: number): number {
    return this.#state === "open" ? Math.max(0, this.#openUntilMs - nowMs) : 0;
  }

  /** Counts a call made while closed. Returns whether that tripped the circuit. */
  record(success: boolean, nowMs: number): boolean {
    if (success) {
      this.window.succeed(nowMs);
      return false;
    }
    this.window.fail(nowMs);
    if (this.#state !== "closed" || !windowTrips(this.window, this.#settings)) return false;
    const { successes, failures, run } = this.window;
    this.#evidence = { successes, failures, run };
    this.#open(nowMs);
    return true;
  }

  /**
   * A trial to make now, or undefined when there is none to give. May move an open circuit whose time is up to
   * half-open, and a half-open one whose trials hang back to open.
   */
  takeTrial(nowMs: number): LocalTrial | undefined {
    if (this.#state === "open" && nowMs >= this.#openUntilMs) this.#halfOpen();
    if (this.#state !== "half-open") return undefined;
    if (this.#failOverdue(nowMs)) return undefined;
    const taken = this.#trials.size + this.#trialSuccesses + this.#trialFailures;
    if (taken >= this.#settings.halfOpenPermits) return undefined;
    const trial = { deadlineMs: nowMs + TRIAL_SHARE * this.#settings.leaseMs };
    this.#trials.add(trial);
    return trial;
  }

  settleTrial(trial: LocalTrial, outcome: TrialOutcome, nowMs: number): void {
    if (!this.#trials.delete(trial) || outcome === "ignored") return;
    // A result after the deadline is a hung trial's: it counts as what it was taken for when the deadline passed.
    if (outcome === "success" && nowMs <= trial.deadlineMs) this.#trialSuccesses++;
    else this.#trialFailures++;
    this.#judge(nowMs);
  }

  /** Goes on alone with an open state that the fleet had. */
  borrow(open: { remainingMs: number; opens: number }, nowMs: number): void {
    this.reset();
    this.#state = "open";
    this.#opens = open.opens;
    this.#openUntilMs = nowMs + open.remainingMs;
    this.#borrowed = true;
  }

  /** Closed, with nothing remembered. */
  reset(): void {
    this.#state = "closed";
    this.#opens = 0;
    this.#borrowed = false;
    this.#evidence = null;
    this.#clearTrials();
    this.window.clear();
  }

  reconfigure(settings: Readonly<BreakerSettings>, nowMs: number): void {
    this.#settings = settings;
    this.window.resize(settings.windowMs, nowMs);
    this.#openUntilMs = Math.min(this.#openUntilMs, nowMs + settings.maxOpenMs);
    if (this.#state === "half-open") this.#judge(nowMs);
  }

  #open(nowMs: number): void {
    this.#state = "open";
    this.#opens++;
    this.#openUntilMs = nowMs + openTimeMs(this.#opens, this.#settings, this.#random());
    this.#borrowed = false;
    this.#clearTrials();
    // What led here has been judged; after a close it must not be judged again.
    this.window.clear();
  }

  #halfOpen(): void {
    this.#state = "half-open";
    this.#clearTrials();
  }

  #clearTrials(): void {
    this.#trials.clear();
    this.#trialSuccesses = 0;
    this.#trialFailures = 0;
  }

  /** Counts trials that hang as failed, so that half-open ends even if no result ever comes. */
  #failOverdue(nowMs: number): boolean {
    for (const trial of this.#trials) {
      if (nowMs < trial.deadlineMs) continue;
      this.#trials.delete(trial);
      this.#trialFailures++;
    }
    this.#judge(nowMs);
    return this.#state !== "half-open";
  }

  #judge(nowMs: number): void {
    const needed = trialsNeeded(this.#settings);
    if (this.#trialSuccesses >= needed) {
      this.reset();
    } else if (this.#trialFailures > this.#settings.halfOpenPermits - needed) {
      this.#evidence ??= { successes: 0, failures: this.#trialFailures, run: this.#trialFailures };
      this.#open(nowMs);
    }
  }
}
