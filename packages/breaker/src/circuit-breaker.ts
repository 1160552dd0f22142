import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import {
  type Clock,
  type Logger,
  messageOf,
  type Random,
  rateLimitedLogger,
  silentLogger,
  systemClock,
  systemRandom,
  wordOption,
} from "@holdfast/core";
import { BreakerOpenError } from "./breaker-open-error.ts";
import { Gate, type GateCounts } from "./gate.ts";
import type { BreakerState, Permit, Rejection } from "./permit.ts";
import { type BreakerMode, type BreakerSettings, type BreakerSettingsInput, resolveSettings } from "./settings.ts";
import type { BreakerIdentity, BreakerStore, FleetView } from "./store.ts";
import { joinFleet } from "./synchroniser.ts";
import { observeBreaker, reportRejection, reportTransition } from "./telemetry.ts";
import type { Transition } from "./transition.ts";

/** How a call went: the value that it returned, or what it threw. */
export type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

/**
 * "instance": this instance alone. "cluster": all instances that meet in the store.
 */
export type BreakerScope = "instance" | "cluster";

export interface BreakerOptions extends BreakerSettingsInput {
  /** What the breaker protects, such as a target's name. 1 to 200 characters, no control characters and no braces. */
  name: string;
  /** Default "cluster" when there is a store, else "instance". */
  scope?: BreakerScope | undefined;
  /** Where the fleet meets. Without one the breaker is this instance's own. The caller closes it. */
  store?: BreakerStore | undefined;
  identity?: { [Part in keyof BreakerIdentity]?: BreakerIdentity[Part] | undefined } | undefined;
  /**
   * Judges what `execute` saw: true counts as failure, false as success, "ignore" as neither. Default: what is thrown is
   * a failure. A caller's own abort is always ignored.
   */
  isFailure?: ((outcome: Outcome) => boolean | "ignore") | undefined;
  /** Default: says nothing. */
  logger?: Logger | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

export interface ExecuteOptions {
  /** The caller's own: passed to the function, and when it is aborted the call counts as neither success nor failure. */
  signal?: AbortSignal | undefined;
}

/** A breaker at one moment, as plain data. */
export interface BreakerSnapshot {
  readonly name: string;
  readonly mode: BreakerMode;
  readonly scope: BreakerScope;
  readonly state: BreakerState;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly retryAfterMs: number;
  readonly generation: number;
  /** "local" while nothing is known of a fleet. */
  readonly incarnation: string;
  /** Whether the fleet's state counts here now. */
  readonly sharing: boolean;
  /** What is known of the fleet, as of the last that was heard; null when nothing is. */
  readonly fleet: FleetView | null;
  /** This instance's own window. */
  readonly window: { readonly successes: number; readonly failures: number; readonly run: number };
  /** Since the breaker was made. */
  readonly counts: Readonly<GateCounts>;
  readonly settings: Readonly<BreakerSettings>;
}

/**
 * A circuit breaker: `tryAcquire` is one synchronous decision in local memory, `execute` a thin shell on it. With a store
 * the state is the fleet's; the exchange with it runs in the background and is never on a call's path.
 */
export class CircuitBreaker implements AsyncDisposable {
  readonly name: string;
  readonly scope: BreakerScope;
  readonly #gate: Gate;
  readonly #isFailure: BreakerOptions["isFailure"];
  readonly #logger: Logger;
  readonly #listeners = new Set<(transition: Transition) => void>();
  readonly #sharingListeners = new Set<(sharing: boolean) => void>();
  readonly #leave: () => void;

  /** @throws TypeError or RangeError naming the option and the value */
  constructor(options: BreakerOptions) {
    const { name, store, isFailure, clock = systemClock, random = systemRandom } = options;
    this.name = nameOption("name", name);
    this.scope = wordOption("scope", options.scope, store ? "cluster" : "instance", ["instance", "cluster"]);
    if (this.scope === "cluster" && !store) throw new TypeError('scope "cluster" needs a store');
    const identity = resolveIdentity(options.identity);
    this.#isFailure = isFailure;
    this.#logger = rateLimitedLogger(options.logger ?? silentLogger, { clock });
    const fleet = this.scope === "cluster" ? store : undefined;
    this.#gate = new Gate({
      name,
      settings: resolveSettings(options),
      identity,
      fleetId: fleet && `${identity.namespace}/${identity.service}/${name}`,
      clock,
      random,
      onTransition: (transition) => {
        reportTransition(transition);
        this.#tell(this.#listeners, transition);
      },
      onSharing: (sharing) => this.#tell(this.#sharingListeners, sharing),
    });
    const unobserve = observeBreaker(this);
    const leaveFleet = fleet && joinFleet(this.#gate, { store: fleet, clock, random, logger: this.#logger });
    this.#leave = () => {
      unobserve();
      leaveFleet?.();
    };
  }

  get state(): BreakerState {
    return this.#gate.state;
  }

  /** Whether the fleet's state counts here now: false without a store, and while it is out of reach. */
  get sharing(): boolean {
    return this.#gate.sharing;
  }

  get mode(): BreakerMode {
    return this.#gate.settings.mode;
  }

  /** Since the breaker was made. */
  get counts(): Readonly<GateCounts> {
    return this.#gate.counts;
  }

  /** Decides at once, without a promise, a timer or the network. A permit must be told how the call went. */
  tryAcquire(): Permit | Rejection {
    return this.#gate.tryAcquire();
  }

  /**
   * Makes a call if the breaker admits it.
   *
   * @throws BreakerOpenError when it does not; the signal's reason when it was aborted before; else whatever `run` throws
   */
  execute<T>(run: (signal?: AbortSignal) => Promise<T> | T, options?: ExecuteOptions): Promise<T> {
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const permit = this.#gate.tryAcquire();
    if (permit.admitted) return this.#run(run, permit, signal);
    reportRejection(this, permit);
    return rejectLater(BreakerOpenError.of(this.name, permit));
  }

  /**
   * Changes settings and keeps window and state.
   *
   * @throws TypeError or RangeError naming the option and the value; nothing has changed then
   */
  reconfigure(settings: BreakerSettingsInput): void {
    this.#gate.reconfigure(resolveSettings(settings, this.#gate.settings));
  }

  /** Told of each transition, synchronously, after it happened. Returns the way to stop it. */
  onTransition(listener: (transition: Transition) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Told when `sharing` changes. Returns the way to stop it. */
  onSharing(listener: (sharing: boolean) => void): () => void {
    this.#sharingListeners.add(listener);
    return () => void this.#sharingListeners.delete(listener);
  }

  snapshot(): BreakerSnapshot {
    const gate = this.#gate;
    const { successes, failures, run } = gate.local.window;
    return {
      name: this.name,
      mode: this.mode,
      scope: this.scope,
      state: gate.state,
      sinceMs: gate.sinceMs,
      retryAfterMs: gate.retryAfterMs(),
      generation: gate.generation,
      incarnation: gate.incarnation,
      sharing: gate.sharing,
      fleet: gate.fleet?.view ?? null,
      window: { successes, failures, run },
      counts: { ...gate.counts },
      settings: gate.settings,
    };
  }

  /** Leaves the fleet and the metrics. The gate goes on by itself, with what it knows. */
  close(): Promise<void> {
    this.#leave();
    this.#listeners.clear();
    this.#sharingListeners.clear();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run<T>(run: (signal?: AbortSignal) => Promise<T> | T, permit: Permit, signal?: AbortSignal): Promise<T> {
    if (permit.observed) reportRejection(this, permit.observed);
    let value: T;
    try {
      value = await run(signal);
    } catch (error) {
      if (signal?.aborted) permit.ignore();
      else if (this.#isFailure) this.#settle(permit, this.#isFailure, { ok: false, error });
      else permit.fail();
      throw error;
    }
    if (this.#isFailure) this.#settle(permit, this.#isFailure, { ok: true, value });
    else permit.succeed();
    return value;
  }

  #settle(permit: Permit, isFailure: NonNullable<BreakerOptions["isFailure"]>, outcome: Outcome): void {
    let verdict: boolean | "ignore";
    try {
      verdict = isFailure(outcome);
    } catch (error) {
      // A judge that throws must not turn a good call into a bad one, nor hide what the call threw.
      this.#logger.error({ breaker: this.name, error: messageOf(error) }, "isFailure threw: the call was ignored");
      verdict = "ignore";
    }
    if (verdict === "ignore") permit.ignore();
    else if (verdict) permit.fail();
    else permit.succeed();
  }

  #tell<T>(listeners: ReadonlySet<(news: T) => void>, news: T): void {
    for (const listener of listeners) {
      try {
        listener(news);
      } catch (error) {
        this.#logger.error({ breaker: this.name, error: messageOf(error) }, "a listener threw");
      }
    }
  }
}

const settled = Promise.resolve();

/**
 * Rejects a turn of the microtask queue from now. Node keeps book of promises that are rejected before anybody listens,
 * and that costs more than all the rest of a rejection; by then the caller listens.
 */
function rejectLater(error: Error): Promise<never> {
  return new Promise((_, reject) => {
    void settled.then(() => reject(error));
  });
}

/** One id for all breakers of this process that are given none. */
let processInstance: string | undefined;

function resolveIdentity(identity: BreakerOptions["identity"] = {}): BreakerIdentity {
  processInstance ??= randomUUID();
  return {
    // The first two parts of the key hold no slash, so that no two breakers can share one by accident.
    namespace: nameOption("identity.namespace", identity.namespace ?? "default", "/"),
    service: nameOption("identity.service", identity.service ?? "default", "/"),
    domain: nameOption("identity.domain", identity.domain ?? hostname()),
    instance: nameOption("identity.instance", identity.instance ?? processInstance),
  };
}

// Braces would move a Redis Cluster's hash tag; control characters would tear log lines and keys apart.
const NAME = /^[^{}\p{Cc}]{1,200}$/u;

function nameOption(option: string, value: unknown, without = ""): string {
  if (typeof value !== "string") throw new TypeError(`${option} must be a string, not ${String(value)}`);
  if (NAME.test(value) && (without === "" || !value.includes(without))) return value;
  const rule = `1 to 200 characters, no control characters, no braces${without && ` and no "${without}"`}`;
  throw new RangeError(`${option} must have ${rule}, not ${JSON.stringify(value.slice(0, 100))}`);
}
