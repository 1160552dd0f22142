import { type Clock, type Random, sleep, systemClock, systemRandom } from "@holdfast/sdk";

/** Harm that an operator switches on, to see what the fleet makes of it. */
export interface FaultPlan {
  /** Every request waits this long first, in milliseconds. From 0 to 60_000. */
  latencyMs?: number | undefined;
  /** Share of requests that fail, from 0 to 1. */
  errorRate?: number | undefined;
  /** The next request blocks the event loop for this long, once, in milliseconds. From 0 to 60_000. */
  blockMs?: number | undefined;
  /** The next request ends the process with an exception that nobody catches. */
  crash?: boolean | undefined;
  /** How many database connections are taken and not given back. Only where there is a database. */
  exhaustPool?: number | undefined;
  /** The plan ends by itself after this long, in milliseconds. Default 600_000, from 1 to 3_600_000. */
  ttlMs?: number | undefined;
}

/** What happens to one request. */
export interface Harm {
  waitMs: number;
  blockMs: number;
  crash: boolean;
  fail: boolean;
}

/** Decides what a plan does to one request. Pure: the draw, from 0 to 1, is the caller's. */
export function decideHarm(plan: FaultPlan, draw: number): Harm {
  return {
    waitMs: plan.latencyMs ?? 0,
    blockMs: plan.blockMs ?? 0,
    crash: plan.crash ?? false,
    fail: draw < (plan.errorRate ?? 0),
  };
}

/** An error that was asked for. 503: as if the service were overloaded, so that clients may try again. */
export class InjectedError extends Error {
  override readonly name: string = "InjectedError";
  readonly statusCode = 503;
}

export interface FaultsOptions {
  /** Takes connections out of a pool until it is told to give them back. Absent: `exhaustPool` is refused. */
  occupyPool?: ((connections: number) => () => void) | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

/** Off until a plan is set. Every request passes through {@link inject}; everything else happens in here. */
export class Faults {
  readonly #occupyPool: FaultsOptions["occupyPool"];
  readonly #clock: Clock;
  readonly #random: Random;
  #plan: FaultPlan | undefined;
  #requests = 0;
  #end: (() => void) | undefined;

  constructor(options: FaultsOptions = {}) {
    this.#occupyPool = options.occupyPool;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
  }

  /** The plan in force. */
  get plan(): FaultPlan | undefined {
    return this.#plan;
  }

  /** Requests that came by, harmed or not. */
  get requests(): number {
    return this.#requests;
  }

  get canExhaustPool(): boolean {
    return this.#occupyPool !== undefined;
  }

  /** Replaces whatever was on. */
  set(plan: FaultPlan): void {
    this.clear();
    this.#plan = plan;
    const expiry = this.#clock.after(plan.ttlMs ?? 600_000, () => this.clear());
    const giveBack = plan.exhaustPool ? this.#occupyPool?.(plan.exhaustPool) : undefined;
    this.#end = () => {
      expiry.cancel();
      giveBack?.();
    };
  }

  clear(): void {
    this.#plan = undefined;
    this.#end?.();
    this.#end = undefined;
  }

  /** @throws InjectedError when this request is one that fails */
  async inject(): Promise<void> {
    this.#requests++;
    if (this.#plan === undefined) return;
    const harm = decideHarm(this.#plan, this.#random());
    // A block would otherwise repeat until nobody, not even the admin endpoint, gets a turn.
    if (harm.blockMs > 0) this.#plan = { ...this.#plan, blockMs: 0 };
    if (harm.waitMs > 0) await sleep(this.#clock, harm.waitMs);
    block(this.#clock, harm.blockMs);
    if (harm.crash) await crash();
    if (harm.fail) throw new InjectedError("injected error");
  }
}

function block(clock: Clock, blockMs: number): void {
  const end = clock.monotonic() + blockMs;
  while (clock.monotonic() < end);
}

/** Throws where no request's try/catch can see it, and leaves the request in flight. */
function crash(): Promise<never> {
  setImmediate(() => {
    throw new Error("injected crash");
  });
  return new Promise(() => {});
}
