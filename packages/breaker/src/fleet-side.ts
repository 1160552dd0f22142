import { TRIAL_SHARE, type TripEvidence } from "./local-circuit.ts";
import type { BreakerSettings } from "./settings.ts";
import {
  type BreakerIdentity,
  type FleetView,
  STORE_SCHEMA,
  type SyncReply,
  type SyncRequest,
  type TrialOutcome,
} from "./store.ts";

/** A trial that the store granted, with the moments of its life here: all before those by the store's clock. */
export interface Lease {
  readonly token: string;
  /** After this it is too old to begin a trial with. */
  readonly usableUntilMs: number;
  /** A trial begun with it has failed when it has no result by now. */
  readonly deadlineMs: number;
}

/** A request on its way, with what is needed to understand its reply. */
export interface Exchange {
  readonly request: SyncRequest;
  readonly sentAtMs: number;
  readonly hintsBefore: number;
}

export type Adoption = "unchanged" | "changed";

/** Shares of a lease: renew an unused one after the first, begin no trial with it after the second. */
const RENEW_SHARE = 0.3;
const USABLE_SHARE = 0.5;

/** How often an instance whose own window tripped asks whether the fleet's has, too. */
const TRIPPED_EVERY_MS = 250;
/** The shortest time between two requests for a lease of which the first was refused. */
const ASK_EVERY_MS = 250;
/** The safety net under lost hints. */
const POLL_EVERY_MS = 2_000;

/**
 * What one breaker of one instance knows of its fleet and has yet to tell it. No I/O and no timer: `begin` makes a
 * request, `finish` takes its reply, `nextDueMs` says when the next is due. All times are monotonic and the caller's.
 */
export class FleetSide {
  #view: FleetView | null = null;
  #openUntilMs = 0;
  #foreignSchema: number | undefined;
  #hints = 0;
  #successes = 0;
  #failures = 0;
  #tail = 0;
  #rejections = 0;
  #unused: Lease[] = [];
  readonly #inUse = new Set<Lease>();
  readonly #results = new Map<string, TrialOutcome>();
  #askAtMs = 0;
  #tripReportAtMs = 0;
  #pollAtMs = 0;
  #asked = false;
  #settings: Readonly<BreakerSettings>;
  readonly #identity: Readonly<BreakerIdentity>;
  readonly #id: string;

  constructor(id: string, identity: Readonly<BreakerIdentity>, settings: Readonly<BreakerSettings>) {
    this.#id = id;
    this.#identity = identity;
    this.#settings = settings;
  }

  get id(): string {
    return this.#id;
  }

  get view(): FleetView | null {
    return this.#view;
  }

  /** The number of a schema that this version does not know, once one was met. */
  get foreignSchema(): number | undefined {
    return this.#foreignSchema;
  }

  remainingMs(nowMs: number): number {
    return this.#view?.state === "open" ? Math.max(0, this.#openUntilMs - nowMs) : 0;
  }

  reconfigure(settings: Readonly<BreakerSettings>): void {
    this.#settings = settings;
  }

  /** Counts a finished call. Returns whether it is the first since the last request. */
  count(success: boolean): boolean {
    const first = this.#successes + this.#failures === 0;
    if (success) {
      this.#successes++;
      this.#tail = 0;
    } else {
      this.#failures++;
      this.#tail++;
    }
    return first;
  }

  /** Counts a trip that the store has not heard of, or has forgotten. */
  restate({ successes, failures, run }: TripEvidence): void {
    this.#successes = successes;
    this.#failures = failures;
    this.#tail = run;
  }

  /** Remembers that somebody would have liked to call. Returns whether a lease is now wanted that was not before. */
  reject(): boolean {
    // More than a round has permits for need not be remembered.
    if (this.#rejections >= this.#settings.halfOpenPermits) return false;
    this.#rejections++;
    return this.#wanted() > 0;
  }

  takeLease(nowMs: number): Lease | undefined {
    if (this.#view?.state !== "half-open") return undefined;
    for (let lease = this.#unused.shift(); lease; lease = this.#unused.shift()) {
      if (nowMs >= lease.usableUntilMs) continue;
      this.#inUse.add(lease);
      return lease;
    }
    return undefined;
  }

  settle(lease: Lease, outcome: TrialOutcome, nowMs: number): void {
    if (!this.#inUse.delete(lease)) return;
    this.#results.set(lease.token, outcome === "success" && nowMs > lease.deadlineMs ? "failure" : outcome);
  }

  /** When the next request is due, whatever happens until then. */
  nextDueMs(nowMs: number, tripped: boolean): number {
    if (this.#successes + this.#failures > 0 || this.#results.size > 0) return nowMs;
    let dueMs = this.#pollAtMs;
    if (tripped) dueMs = Math.min(dueMs, this.#tripReportAtMs);
    if (this.#wanted() > 0) dueMs = Math.min(dueMs, Math.max(this.#askAtMs, this.#openUntilMs));
    for (const lease of this.#unused) dueMs = Math.min(dueMs, this.#renewAtMs(lease));
    for (const lease of this.#inUse) dueMs = Math.min(dueMs, lease.deadlineMs);
    return dueMs;
  }

  /**
   * Takes what there is to tell into a request.
   *
   * @param draws random numbers from 0 to 1: for the store, and for this side's poll
   */
  begin(nowMs: number, tripped: boolean, nonce: string, draws: readonly [number, number]): Exchange {
    for (const lease of this.#inUse) if (nowMs >= lease.deadlineMs) this.settle(lease, "failure", nowMs);
    this.#unused = this.#unused.filter((lease) => nowMs < lease.usableUntilMs);
    const view = this.#view;
    const remainingMs = this.remainingMs(nowMs);
    const wanted = remainingMs === 0 && nowMs >= this.#askAtMs ? this.#wanted() : 0;
    const request: SyncRequest = {
      id: this.#id,
      domain: this.#identity.domain,
      instance: this.#identity.instance,
      settings: this.#settings,
      incarnation: view?.incarnation ?? "",
      generation: view?.generation ?? 0,
      successes: this.#successes,
      failures: this.#failures,
      tail: this.#tail,
      tripped,
      wanted,
      renew: this.#unused.filter((lease) => nowMs >= this.#renewAtMs(lease)).map((lease) => lease.token),
      trials: Array.from(this.#results, ([token, outcome]) => ({ token, outcome })),
      held: view && remainingMs > 0 ? { sinceMs: view.sinceMs, remainingMs, opens: view.opens } : null,
      nonce,
      draw: draws[0],
    };
    this.#clearCounts();
    this.#asked = wanted > 0;
    this.#tripReportAtMs = nowMs + TRIPPED_EVERY_MS;
    this.#pollAtMs = nowMs + POLL_EVERY_MS * (0.8 + 0.4 * draws[1]);
    return { request, sentAtMs: nowMs, hintsBefore: this.#hints };
  }

  finish(exchange: Exchange, reply: SyncReply, nowMs: number): Adoption {
    const { request, sentAtMs, hintsBefore } = exchange;
    for (const { token } of request.trials) this.#results.delete(token);
    const before = this.#view;
    // A hint that overtook this reply knows better; without one a lower generation means that the store was rolled back.
    const overtaken =
      before !== null &&
      this.#hints !== hintsBefore &&
      reply.view.incarnation === before.incarnation &&
      reply.view.generation < before.generation;
    if (overtaken) return "unchanged";
    const adoption = this.#adopt(reply.view, nowMs);
    // A grant counts from before it was asked for, so that it ends here before it ends there.
    for (const token of reply.leases) this.#take(token, sentAtMs);
    if (this.#asked) this.#askAtMs = reply.leases.length > 0 ? nowMs : nowMs + ASK_EVERY_MS;
    return adoption;
  }

  /**
   * The store could not be reached. What was counted stays local: whether it arrived is not known, and counting it twice
   * could trip the fleet. Results of trials are sent again: a token counts once.
   */
  fail(nowMs: number): void {
    this.#askAtMs = nowMs + ASK_EVERY_MS;
    this.expire();
  }

  /** Takes a hint. "ask" means that it cannot be judged without asking the store. */
  hint(view: FleetView, nowMs: number): Adoption | "ask" {
    const mine = this.#view;
    if (mine === null || view.incarnation !== mine.incarnation || view.schema > STORE_SCHEMA) return "ask";
    if (view.generation <= mine.generation) return "unchanged";
    this.#hints++;
    return this.#adopt(view, nowMs);
  }

  /** Forgets what only makes sense while the store is within reach. */
  disconnect(): void {
    this.#clearCounts();
    this.#unused = [];
    this.#inUse.clear();
    this.#results.clear();
    this.#rejections = 0;
    this.#askAtMs = 0;
  }

  /** Makes the next request due at once. */
  expire(): void {
    this.#pollAtMs = 0;
  }

  #adopt(view: FleetView, nowMs: number): Adoption {
    if (view.schema > STORE_SCHEMA) {
      const known = this.#foreignSchema === view.schema;
      this.#foreignSchema = view.schema;
      return known ? "unchanged" : "changed";
    }
    const before = this.#view;
    const wasForeign = this.#foreignSchema !== undefined;
    this.#foreignSchema = undefined;
    this.#view = view;
    this.#openUntilMs = view.state === "open" ? nowMs + Math.min(view.remainingMs, this.#settings.maxOpenMs) : 0;
    const same = before?.incarnation === view.incarnation && before.generation === view.generation;
    if (same) return wasForeign ? "changed" : "unchanged";
    this.#unused = [];
    this.#inUse.clear();
    this.#results.clear();
    this.#askAtMs = 0;
    // Counts made before any view was known are the closed state's; all others belong to the generation left behind.
    if (before !== null) this.#clearCounts();
    if (view.state === "closed") this.#rejections = 0;
    // Rejected while only this instance was open: one trial is wanted, however long ago they were.
    else if (before?.state === "closed") this.#rejections = Math.min(1, this.#rejections);
    return "changed";
  }

  #take(token: string, sentAtMs: number): void {
    const { leaseMs } = this.#settings;
    const lease: Lease = {
      token,
      usableUntilMs: sentAtMs + USABLE_SHARE * leaseMs,
      deadlineMs: sentAtMs + TRIAL_SHARE * leaseMs,
    };
    const place = this.#unused.findIndex((held) => held.token === token);
    if (place >= 0) this.#unused[place] = lease;
    // A lease that was taken into use while its renewal was under way keeps the deadline it began with.
    else if (![...this.#inUse].some((held) => held.token === token) && !this.#results.has(token)) {
      this.#unused.push(lease);
    }
  }

  #renewAtMs(lease: Lease): number {
    return lease.usableUntilMs - (USABLE_SHARE - RENEW_SHARE) * this.#settings.leaseMs;
  }

  /** How many more leases there is use for: one for each call that was rejected, up to a round's permits. */
  #wanted(): number {
    if (this.#view === null || this.#view.state === "closed") return 0;
    return Math.max(0, this.#rejections - this.#unused.length - this.#inUse.size);
  }

  #clearCounts(): void {
    this.#successes = 0;
    this.#failures = 0;
    this.#tail = 0;
  }
}
