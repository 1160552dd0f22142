import type { Clock, Random } from "@holdfast/core";
import { type Adoption, type Exchange, FleetSide } from "./fleet-side.ts";
import { freePermit, GatePermit, NO_EPOCH, type PermitKeeper, type Trial } from "./gate-permit.ts";
import { LocalCircuit } from "./local-circuit.ts";
import type { BreakerState, Permit, Rejection } from "./permit.ts";
import type { BreakerSettings } from "./settings.ts";
import type { BreakerIdentity, FleetView, SyncReply, TrialOutcome } from "./store.ts";
import type { Transition } from "./transition.ts";

/** Counters that only ever grow; read by metrics, away from any call's path. */
export interface GateCounts {
  successes: number;
  failures: number;
  ignored: number;
  /** Calls rejected. */
  rejections: number;
  /** Calls that `observe` admitted and `enforce` would have rejected. */
  observed: number;
}

/** Asks for an exchange with the store. */
export interface FleetLink {
  /** At its next regular time. */
  wake(): void;
  /** At once: there is news. */
  urge(): void;
}

export interface GateOptions {
  name: string;
  settings: Readonly<BreakerSettings>;
  identity: Readonly<BreakerIdentity>;
  /** The key in the store; undefined when there is no store. */
  fleetId: string | undefined;
  clock: Clock;
  random: Random;
  onTransition: (transition: Transition) => void;
  onSharing: (sharing: boolean) => void;
}

/** How long there is no point in asking again while only a trial's result can change the answer. */
const ASK_AGAIN_MS = 100;

/**
 * The gate of one breaker: synchronous, in local memory. It puts two circuits together: this instance's own, and what is
 * known of the fleet's. While the fleet is open or half-open and within reach, the fleet decides; else the own one does.
 */
export class Gate implements PermitKeeper {
  readonly counts: GateCounts = { successes: 0, failures: 0, ignored: 0, rejections: 0, observed: 0 };
  readonly fleet: FleetSide | null;
  readonly #local: LocalCircuit;
  readonly #name: string;
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #onTransition: (transition: Transition) => void;
  readonly #onSharing: (sharing: boolean) => void;
  #toldSharing = false;
  #settings: Readonly<BreakerSettings>;
  #link: FleetLink | undefined;
  #sharing = false;
  /** Calls go straight through: what the hot path looks at, and nothing else. */
  #clear: boolean;
  /** The trip of this instance's own window went to the store when it happened. */
  #tripTold = false;
  /** One more with each move of either circuit: results from before it are late and count for nothing. */
  #epoch = 0;
  #shown: BreakerState = "closed";
  #sinceMs: number;

  constructor(options: GateOptions) {
    const { name, settings, identity, fleetId, clock, random, onTransition, onSharing } = options;
    this.#name = name;
    this.#instance = identity.instance;
    this.#clock = clock;
    this.#settings = settings;
    this.#onTransition = onTransition;
    this.#onSharing = onSharing;
    this.#sinceMs = clock.now();
    this.#local = new LocalCircuit(settings, random);
    this.fleet = fleetId === undefined ? null : new FleetSide(fleetId, identity, settings);
    this.#clear = settings.mode !== "off";
  }

  get settings(): Readonly<BreakerSettings> {
    return this.#settings;
  }

  get state(): BreakerState {
    return this.#shown;
  }

  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** Whether the fleet's state counts here now. */
  get sharing(): boolean {
    return this.#sharing && this.fleet?.foreignSchema === undefined;
  }

  get local(): LocalCircuit {
    return this.#local;
  }

  get generation(): number {
    return this.fleet?.view?.generation ?? this.#epoch;
  }

  get incarnation(): string {
    return this.fleet?.view?.incarnation ?? "local";
  }

  tryAcquire(): Permit | Rejection {
    if (this.#clear) return new GatePermit(this, this.#epoch, null);
    return this.#acquireWhenNotClear();
  }

  settle(epoch: number, trial: Trial | null, outcome: TrialOutcome): void {
    if (outcome === "success") this.counts.successes++;
    else if (outcome === "failure") this.counts.failures++;
    else this.counts.ignored++;
    if (epoch !== this.#epoch) return;
    if (trial !== null) this.#settleTrial(trial, outcome);
    else if (outcome !== "ignored") this.#count(outcome === "success");
  }

  /** How long there is no point in asking again, in milliseconds; 0 while calls go through. */
  retryAfterMs(): number {
    if (this.#shown === "closed") return 0;
    const nowMs = this.#clock.monotonic();
    const leftMs = this.#governed() ? this.fleet!.remainingMs(nowMs) : this.#local.remainingMs(nowMs);
    return leftMs > 0 ? leftMs : ASK_AGAIN_MS;
  }

  reconfigure(settings: Readonly<BreakerSettings>): void {
    this.#settings = settings;
    this.fleet?.reconfigure(settings);
    const before = this.#local.state;
    this.#local.reconfigure(settings, this.#clock.monotonic());
    if (this.#local.state !== before) this.#moved("local");
    this.#clear = this.#shown === "closed" && settings.mode !== "off";
  }

  // What follows is for the exchange with the store, in the background.

  connect(link: FleetLink | undefined): void {
    this.#link = link;
    if (!link) this.leave();
  }

  /** The store is within reach: the fleet counts from the next reply on. */
  approach(): void {
    this.fleet!.expire();
    this.#link?.urge();
  }

  /** The store is out of reach: what the fleet held true is carried on alone. */
  leave(): void {
    if (!this.#sharing) return;
    const governed = this.#governed();
    if (governed) this.#goOnAlone(this.#clock.monotonic());
    this.#sharing = false;
    this.fleet!.disconnect();
    if (governed) this.#moved("local");
    this.#tellSharing();
  }

  nextExchangeMs(nowMs: number): number {
    return this.fleet!.nextDueMs(nowMs, this.#trippedAlone());
  }

  beginExchange(nowMs: number, nonce: string, draws: readonly [number, number]): Exchange {
    return this.fleet!.begin(nowMs, this.#trippedAlone(), nonce, draws);
  }

  finishExchange(exchange: Exchange, reply: SyncReply): void {
    const nowMs = this.#clock.monotonic();
    const governed = this.#governed();
    const generation = this.#generationOfFleet();
    const incarnation = this.fleet!.view?.incarnation;
    const adoption = this.fleet!.finish(exchange, reply, nowMs);
    const joined = !this.#sharing;
    this.#sharing = true;
    this.#adopted(joined ? "changed" : adoption, governed, generation, nowMs);
    this.#restate(incarnation);
    this.#tellSharing();
  }

  failExchange(): void {
    this.fleet!.fail(this.#clock.monotonic());
  }

  hint(view: FleetView): void {
    if (!this.#sharing) return;
    const nowMs = this.#clock.monotonic();
    const governed = this.#governed();
    const generation = this.#generationOfFleet();
    const adoption = this.fleet!.hint(view, nowMs);
    if (adoption === "ask") this.approach();
    else this.#adopted(adoption, governed, generation, nowMs);
  }

  #acquireWhenNotClear(): Permit | Rejection {
    const { mode } = this.#settings;
    if (mode === "off") return freePermit;
    const nowMs = this.#clock.monotonic();
    const governed = this.#governed();
    if (governed) {
      const lease = this.fleet!.takeLease(nowMs);
      if (lease) return new GatePermit(this, this.#epoch, { lease });
    } else {
      const before = this.#local.state;
      const trial = this.#local.takeTrial(nowMs);
      if (this.#local.state !== before) this.#moved("local");
      if (trial) return new GatePermit(this, this.#epoch, { local: trial });
    }
    const leftMs = governed ? this.fleet!.remainingMs(nowMs) : this.#local.remainingMs(nowMs);
    const rejection: Rejection = {
      admitted: false,
      state: this.#shown === "half-open" ? "half-open" : "open",
      sinceMs: this.#sinceMs,
      retryAfterMs: leftMs > 0 ? leftMs : ASK_AGAIN_MS,
    };
    if (this.#sharing && this.fleet?.reject()) this.#link?.wake();
    if (mode === "observe") {
      this.counts.observed++;
      return new GatePermit(this, NO_EPOCH, null, rejection);
    }
    this.counts.rejections++;
    return rejection;
  }

  #count(success: boolean): void {
    const first = this.#sharing && this.fleet?.count(success);
    const tripped = this.#local.record(success, this.#clock.monotonic());
    if (tripped) {
      this.#tripTold = this.#sharing;
      this.#moved("local");
      this.#link?.urge();
    } else if (first) {
      this.#link?.wake();
    }
  }

  #settleTrial(trial: Trial, outcome: TrialOutcome): void {
    const nowMs = this.#clock.monotonic();
    if ("lease" in trial) {
      this.fleet!.settle(trial.lease, outcome, nowMs);
      this.#link?.urge();
      return;
    }
    const before = this.#local.state;
    this.#local.settleTrial(trial.local, outcome, nowMs);
    // A fleet that is closed hears of an instance's own trials as of any other call.
    if (this.#sharing && outcome !== "ignored" && this.fleet?.count(outcome === "success")) this.#link?.wake();
    if (this.#local.state !== before) {
      this.#tripTold = this.#sharing;
      this.#moved("local");
    }
  }

  /** The fleet's state is known, within reach, and not closed: it decides. */
  #governed(): boolean {
    const view = this.fleet?.view;
    return view !== null && view !== undefined && view.state !== "closed" && this.sharing;
  }

  #trippedAlone(): boolean {
    return this.#local.state !== "closed" && !this.#local.borrowed && !this.#governed();
  }

  #adopted(adoption: Adoption, governed: boolean, generationBefore: string, nowMs: number): void {
    if (adoption === "unchanged") return;
    const governs = this.#governed();
    const { foreignSchema } = this.fleet!;
    if (foreignSchema !== undefined) {
      if (!governed) return;
      this.#goOnAlone(nowMs);
    } else if (governs || governed || this.#local.borrowed) {
      this.#local.reset();
    } else {
      // An open and a close of the fleet that this instance slept through: what it counted before has been judged.
      const passed = generationBefore !== "" && generationBefore !== this.#generationOfFleet();
      if (!passed || this.#local.state !== "closed") return;
      this.#local.reset();
    }
    this.#moved("fleet");
  }

  /** A trip made while the store was away, or that it forgot with everything else, is told as if it happened now. */
  #restate(incarnationBefore: string | undefined): void {
    const { evidence } = this.#local;
    const forgotten = incarnationBefore !== undefined && incarnationBefore !== this.fleet!.view?.incarnation;
    if (evidence === null || !this.#trippedAlone() || (this.#tripTold && !forgotten)) return;
    this.#tripTold = true;
    this.fleet!.restate(evidence);
    this.#link?.wake();
  }

  #generationOfFleet(): string {
    const view = this.fleet?.view;
    return view ? `${view.incarnation}/${view.generation}` : "";
  }

  #tellSharing(): void {
    if (this.sharing === this.#toldSharing) return;
    this.#toldSharing = this.sharing;
    this.#onSharing(this.#toldSharing);
  }

  #goOnAlone(nowMs: number): void {
    const fleet = this.fleet!;
    this.#local.borrow({ remainingMs: fleet.remainingMs(nowMs), opens: fleet.view!.opens }, nowMs);
  }

  #moved(cause: "local" | "fleet"): void {
    this.#epoch++;
    const from = this.#shown;
    const view = this.#governed() || cause === "fleet" ? this.fleet?.view : undefined;
    const to = this.#governed() ? this.fleet!.view!.state : this.#local.state;
    this.#clear = to === "closed" && this.#settings.mode !== "off";
    if (from === to) return;
    this.#shown = to;
    this.#sinceMs = this.#clock.now();
    this.#onTransition({
      breaker: this.#name,
      from,
      to,
      origin: cause === "fleet" && view?.by !== this.#instance ? "fleet" : "local",
      generation: this.generation,
      incarnation: this.incarnation,
      atMs: this.#sinceMs,
      by: view?.by,
      decidedAtMs: view?.decidedAtMs,
    });
  }
}
