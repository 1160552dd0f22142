import type Opossum from "opossum";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { Permit } from "./permit.ts";
import type { Transition } from "./transition.ts";

type Action = (this: unknown, ...args: unknown[]) => unknown;

/** What opossum has and its types leave out. */
interface Internals {
  action: Action;
  options: { resetTimeout: number };
}

/** Beyond any open: opossum's own timer must not half-open what the fleet keeps open, nor overflow and fire at once. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * Stands between an opossum breaker and its callers, and keeps opossum's state equal to the circuit's.
 *
 * The circuit admits or rejects before opossum does. What it rejects goes on into opossum, which is open then: so events,
 * statistics, fallback and cache behave as ever. While the fleet is half-open opossum's own state stays open, because it
 * would close on the first success; single trials are let past it. Everything is put on the instance, and taken off again
 * by close().
 */
export class OpossumMirror {
  readonly #breaker: Opossum & Internals;
  readonly #circuit: CircuitBreaker;
  readonly #undo: (() => void)[] = [];
  /** The permit of the call that opossum is being asked for right now, until the action takes it. */
  #offered: Permit | null = null;
  #args: unknown[] | null = null;
  /** A trial is being let past opossum's open state. */
  #passing = false;
  #calling = false;
  /** Whose action has just settled: opossum's 'success' does not say which call it is about. */
  #settled: Permit | null = null;
  readonly #permits = new WeakMap<unknown[], Permit>();
  readonly #timedOut = new WeakSet<Permit>();
  /** opossum is looking at its own state to decide what a result means, which here is not its to decide. */
  #judging = false;
  /** opossum is open because the circuit is. */
  #holding = false;

  constructor(breaker: Opossum, circuit: CircuitBreaker) {
    this.#breaker = breaker as Opossum & Internals;
    this.#circuit = circuit;
    this.#wrap();
    this.#listen();
    this.#undo.push(circuit.onTransition((transition) => this.#follow(transition)));
  }

  /** Puts opossum's state right after the mode was changed. */
  align(): void {
    if (this.#ruling) this.#open();
    else if (this.#holding && !this.#breaker.isShutdown) this.#breaker.close();
    this.#holding = this.#ruling;
  }

  close(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
    // Without the circuit nothing would ever close it again.
    if (this.#holding && !this.#breaker.isShutdown) this.#breaker.close();
    this.#holding = false;
  }

  get #enforcing(): boolean {
    return this.#circuit.mode === "enforce";
  }

  /** The circuit, and not opossum, says what the state is. */
  get #ruling(): boolean {
    return this.#enforcing && this.#circuit.state !== "closed";
  }

  #wrap(): void {
    const breaker = this.#breaker;
    const call = breaker.call.bind(breaker) as (...args: unknown[]) => Promise<unknown>;
    const action = breaker.action;
    const act = (context: unknown, args: unknown[]): unknown => this.#act(action, context, args);
    this.#put("call", { value: (...args: unknown[]) => this.#call(call, args) });
    this.#put("action", {
      value(this: unknown, ...args: unknown[]) {
        return act(this, args);
      },
    });
    this.#put("pendingClose", {
      get: () =>
        this.#calling && this.#ruling ? this.#passing : Reflect.get(prototypeOf(breaker), "pendingClose", breaker),
    });
    this.#put("halfOpen", {
      get: () =>
        this.#ruling
          ? !this.#judging && this.#circuit.state === "half-open"
          : Reflect.get(prototypeOf(breaker), "halfOpen", breaker),
    });
    this.#put("opened", {
      get: () =>
        this.#ruling
          ? this.#judging || this.#circuit.state === "open"
          : Reflect.get(prototypeOf(breaker), "opened", breaker),
    });
    // opossum's own statistics must not trip it. A threshold of 100 % would not do: a call that outlives its window makes
    // the rate infinite.
    this.#put("volumeThreshold", {
      get: () =>
        this.#enforcing ? Number.MAX_SAFE_INTEGER : Reflect.get(prototypeOf(breaker), "volumeThreshold", breaker),
    });
  }

  #put(name: string, descriptor: PropertyDescriptor): void {
    const before = Object.getOwnPropertyDescriptor(this.#breaker, name);
    Object.defineProperty(this.#breaker, name, { ...descriptor, configurable: true });
    this.#undo.push(() => {
      if (before) Object.defineProperty(this.#breaker, name, before);
      else Reflect.deleteProperty(this.#breaker, name);
    });
  }

  #call(call: (...args: unknown[]) => Promise<unknown>, args: unknown[]): Promise<unknown> {
    const breaker = this.#breaker;
    if (breaker.isShutdown || !breaker.enabled) return call(...args);
    const answer = this.#circuit.tryAcquire();
    const outer = { offered: this.#offered, args: this.#args, passing: this.#passing, calling: this.#calling };
    this.#offered = answer.admitted ? answer : null;
    this.#passing = answer.admitted && !answer.observed;
    this.#calling = true;
    // Somebody closed it by hand; what the fleet rejects is rejected nevertheless.
    if (this.#ruling && breaker.closed) this.#open();
    try {
      return call(...args);
    } finally {
      // A cached answer, another call's, or none for want of capacity: nothing was learned about the target.
      this.#offered?.ignore();
      this.#offered = outer.offered;
      this.#args = outer.args;
      this.#passing = outer.passing;
      this.#calling = outer.calling;
    }
  }

  #act(action: Action, context: unknown, args: unknown[]): unknown {
    const permit = this.#offered;
    this.#offered = null;
    if (!permit) return action.apply(context, args);
    if (this.#args) this.#permits.set(this.#args, permit);
    const settle = (): void => {
      // Late: opossum has judged the call when its time was up, and will not speak of it again.
      if (!this.#timedOut.has(permit)) this.#settled = permit;
    };
    let result: unknown;
    try {
      result = action.apply(context, args);
    } catch (error) {
      settle();
      throw error;
    }
    // opossum takes an action that returns nothing for one that failed.
    const promise = isThenable(result) ? result : Promise.resolve(result);
    promise.then(settle, settle);
    return promise;
  }

  #listen(): void {
    this.#prepend("fire", (args: unknown[]) => {
      this.#args = args;
    });
    this.#prepend("timeout", (_error: unknown, _latency: unknown, args: unknown[]) => {
      const permit = this.#permits.get(args);
      if (!permit) return;
      this.#timedOut.add(permit);
      this.#settled = permit;
    });
    this.#prepend("success", () => {
      this.#judge();
      const permit = this.#settled;
      this.#settled = null;
      permit?.succeed();
    });
    this.#prepend("failure", (_error: unknown, _latency: unknown, args: unknown[]) => {
      this.#judge();
      this.#settled = null;
      const permit = this.#permits.get(args);
      // Listeners hear of the failure first and of the opening after it, as with opossum alone.
      if (permit) queueMicrotask(() => permit.fail());
    });
  }

  #prepend(event: "fire" | "timeout" | "success" | "failure", listener: (...args: never[]) => void): void {
    const breaker = this.#breaker;
    breaker.prependListener(event, listener as (...args: unknown[]) => void);
    this.#undo.push(() => breaker.removeListener(event, listener as (...args: unknown[]) => void));
  }

  #judge(): void {
    this.#judging = true;
    queueMicrotask(() => {
      this.#judging = false;
    });
  }

  #follow({ to }: Transition): void {
    const breaker = this.#breaker;
    if (!this.#enforcing || breaker.isShutdown) return;
    if (to === "closed") {
      this.#holding = false;
      breaker.close();
      return;
    }
    this.#open();
    if (to === "half-open") breaker.emit("halfOpen", breaker.options.resetTimeout);
  }

  #open(): void {
    this.#holding = true;
    const { options } = this.#breaker;
    const { resetTimeout } = options;
    options.resetTimeout = NEVER_MS;
    try {
      this.#breaker.open();
    } finally {
      options.resetTimeout = resetTimeout;
    }
  }
}

function prototypeOf(object: object): object {
  return Object.getPrototypeOf(object) as object;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
