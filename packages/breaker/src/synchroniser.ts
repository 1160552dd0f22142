import { randomBytes } from "node:crypto";
import { type Clock, type Logger, messageOf, type Random, type Timer } from "@holdfast/core";
import type { Exchange } from "./fleet-side.ts";
import type { FleetLink, Gate } from "./gate.ts";
import { type BreakerStore, STORE_SCHEMA } from "./store.ts";

/** Between two regular exchanges, give or take a fifth. */
const FLUSH_EVERY_MS = 100;
/** Between two attempts while the store is out of reach, give or take a fifth. */
const RETRY_EVERY_MS = 400;
/** Exchanges at once: so many may come in a burst, and so many a second after it. */
const URGENT_BURST = 5;
const URGENT_PER_SECOND = 2;
/** Breakers whose next exchange is due this soon come along with the others. */
const COMPANY_MS = 20;
/** Requests of one exchange at most, so that one script never holds the store for long. */
const MOST_PER_EXCHANGE = 200;

interface Attached {
  readonly gate: Gate;
  readonly unwatch: () => void;
}

export interface SynchroniserOptions {
  store: BreakerStore;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/**
 * Keeps the breakers of one process in step with one store: a single exchange for all of them, about every 100 ms while
 * there is something to tell, at once when there is news, every two seconds in any case. One exchange is under way at a
 * time, so replies come in order.
 */
export class Synchroniser {
  readonly #store: BreakerStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #attached = new Map<Gate, Attached>();
  readonly #unlisten: () => void;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #underWay = false;
  /** When the exchange after the one under way was asked for. */
  #againAtMs = Number.POSITIVE_INFINITY;
  /** When the next exchange may begin that is not urgent: drawn once, so that many who ask cannot hasten it. */
  #regularMs = Number.NEGATIVE_INFINITY;
  #failed = false;
  #toldShared = true;
  #urgent = URGENT_BURST;
  #urgentAtMs: number;

  constructor(options: SynchroniserOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
    this.#urgentAtMs = this.#clock.monotonic();
    this.#unlisten = this.#store.onSharing((sharing) => this.#onSharing(sharing));
  }

  attach(gate: Gate): void {
    const unwatch = this.#store.watch(gate.fleet!.id, (view) => gate.hint(view));
    this.#attached.set(gate, { gate, unwatch });
    const link: FleetLink = { wake: () => this.#schedule(this.#regularMs), urge: () => this.#urge() };
    gate.connect(link);
    if (this.#store.sharing) {
      gate.approach();
    } else {
      // It is connecting, and says when it is there; this is in case it does not.
      this.#failed = true;
      this.#schedule(this.#clock.monotonic() + this.#spread(RETRY_EVERY_MS));
    }
  }

  /** Returns whether it was the last. */
  detach(gate: Gate): boolean {
    const attached = this.#attached.get(gate);
    if (!attached) return false;
    attached.unwatch();
    this.#attached.delete(gate);
    gate.connect(undefined);
    if (this.#attached.size > 0) return false;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unlisten();
    return true;
  }

  #spread(ms: number): number {
    return ms * (0.8 + 0.4 * this.#random());
  }

  /** Out of turn, as often as its allowance goes: however much happens, the store's load stays bounded. */
  #urge(): void {
    const nowMs = this.#clock.monotonic();
    this.#urgent = Math.min(URGENT_BURST, this.#urgent + ((nowMs - this.#urgentAtMs) / 1_000) * URGENT_PER_SECOND);
    this.#urgentAtMs = nowMs;
    const soon = Math.min(this.#timerAtMs, this.#againAtMs) <= nowMs;
    if (this.#urgent >= 1 && !soon && !this.#failed) {
      this.#urgent--;
      this.#schedule(nowMs);
    } else {
      this.#schedule(this.#regularMs);
    }
  }

  #schedule(atMs: number): void {
    if (this.#underWay) {
      this.#againAtMs = Math.min(this.#againAtMs, atMs);
      return;
    }
    if (this.#timer && this.#timerAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#clock.after(Math.max(0, atMs - this.#clock.monotonic()), () => {
      this.#timer = undefined;
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      void this.#exchange();
    });
  }

  #onSharing(sharing: boolean): void {
    this.#failed = !sharing;
    if (sharing) {
      for (const { gate } of this.#attached.values()) gate.approach();
    } else {
      this.#goOnAlone();
      this.#tell(false);
    }
  }

  #goOnAlone(): void {
    for (const { gate } of this.#attached.values()) {
      gate.leave();
      gate.failExchange();
    }
    this.#schedule(this.#clock.monotonic() + this.#spread(RETRY_EVERY_MS));
  }

  /** Never rejects. */
  async #exchange(): Promise<void> {
    const nowMs = this.#clock.monotonic();
    const due: Gate[] = [];
    for (const { gate } of this.#attached.values()) {
      if (due.length < MOST_PER_EXCHANGE && gate.nextExchangeMs(nowMs) <= nowMs + COMPANY_MS) due.push(gate);
    }
    if (due.length > 0) {
      if (due.length === MOST_PER_EXCHANGE) this.#moveToEnd(due);
      this.#underWay = true;
      this.#regularMs = nowMs + this.#spread(FLUSH_EVERY_MS);
      const begun = due.map((gate) =>
        gate.beginExchange(nowMs, randomBytes(8).toString("hex"), [this.#random(), this.#random()]),
      );
      await this.#send(due, begun);
      this.#underWay = false;
    }
    if (this.#attached.size === 0) return;
    const laterMs = this.#clock.monotonic();
    if (this.#failed) this.#regularMs = laterMs + this.#spread(RETRY_EVERY_MS);
    let nextMs = this.#failed ? this.#regularMs : this.#againAtMs;
    this.#againAtMs = Number.POSITIVE_INFINITY;
    for (const { gate } of this.#attached.values()) {
      nextMs = Math.min(nextMs, Math.max(gate.nextExchangeMs(laterMs), this.#regularMs));
    }
    this.#schedule(nextMs);
  }

  /** Who has had a turn lets the others go first. */
  #moveToEnd(gates: readonly Gate[]): void {
    for (const gate of gates) {
      const attached = this.#attached.get(gate)!;
      this.#attached.delete(gate);
      this.#attached.set(gate, attached);
    }
  }

  async #send(gates: readonly Gate[], begun: readonly Exchange[]): Promise<void> {
    try {
      const replies = await this.#store.sync(begun.map((exchange) => exchange.request));
      this.#failed = false;
      this.#tell(true);
      for (const [place, gate] of gates.entries()) {
        // It may have been detached while the reply was on its way.
        if (!this.#attached.has(gate)) continue;
        const known = gate.fleet!.foreignSchema;
        gate.finishExchange(begun[place]!, replies[place]!);
        const { foreignSchema } = gate.fleet!;
        if (foreignSchema !== undefined && foreignSchema !== known) {
          this.#logger.warn(
            { breaker: gate.fleet!.id, schema: foreignSchema, known: STORE_SCHEMA },
            "the store's record was written by a newer version: this breaker goes on alone until it is upgraded",
          );
        }
      }
    } catch (error) {
      this.#failed = true;
      if (this.#attached.size > 0) {
        this.#goOnAlone();
        this.#tell(false, error);
      }
    }
  }

  /** Once for each way that it goes: an outage is two log lines, however long it lasts. */
  #tell(shared: boolean, error?: unknown): void {
    if (this.#toldShared === shared) return;
    this.#toldShared = shared;
    const store = this.#store.kind;
    if (shared) {
      this.#logger.info({ store }, "the breakers' store is back: this instance shares again");
    } else {
      const cause = error === undefined ? {} : { error: messageOf(error) };
      this.#logger.warn(
        { store, ...cause },
        "the breakers' store is out of reach: every instance goes on alone until it is back",
      );
    }
  }
}

const synchronisers = new WeakMap<BreakerStore, Synchroniser>();

/** Puts a gate in step with its store. Returns the way out. */
export function joinFleet(gate: Gate, options: SynchroniserOptions): () => void {
  const { store } = options;
  let synchroniser = synchronisers.get(store);
  if (!synchroniser) {
    synchroniser = new Synchroniser(options);
    synchronisers.set(store, synchroniser);
  }
  synchroniser.attach(gate);
  return () => {
    if (synchroniser.detach(gate)) synchronisers.delete(store);
  };
}
