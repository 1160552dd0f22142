import type { LifecycleState } from "../lifecycle-state.ts";

const STATES: readonly LifecycleState[] = ["starting", "ready", "degraded", "draining", "stopped", "crashed"];

const HEARTBEAT = 0;
const STATE = 1;
const STARTED = 2;
const CRITICAL_FAILING = 3;
const KILL_AT = 4;
const FIELDS = 5;

/**
 * What the main thread says and the watch thread reads, without a message: a blocked thread sends none. Each value is read
 * and written at once; together they are no snapshot, and need not be.
 */
export class SharedStatus {
  readonly buffer: SharedArrayBuffer;
  readonly #values: BigInt64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(FIELDS * 8)) {
    this.buffer = buffer;
    this.#values = new BigInt64Array(buffer);
  }

  /** When the main thread's event loop last turned, by `machineMs`. */
  get heartbeatMs(): number {
    return Number(Atomics.load(this.#values, HEARTBEAT));
  }

  beat(): void {
    Atomics.store(this.#values, HEARTBEAT, BigInt(machineMs()));
  }

  get state(): LifecycleState {
    return STATES[Number(Atomics.load(this.#values, STATE))] ?? "starting";
  }

  set state(state: LifecycleState) {
    Atomics.store(this.#values, STATE, BigInt(STATES.indexOf(state)));
    if (state === "ready") Atomics.store(this.#values, STARTED, 1n);
  }

  /** Whether the instance was ever ready. */
  get started(): boolean {
    return Atomics.load(this.#values, STARTED) === 1n;
  }

  get criticalFailing(): number {
    return Number(Atomics.load(this.#values, CRITICAL_FAILING));
  }

  set criticalFailing(count: number) {
    Atomics.store(this.#values, CRITICAL_FAILING, BigInt(count));
  }

  /** When the watch thread ends a process whose shutdown hangs, by `machineMs`; 0: never. */
  get killAtMs(): number {
    return Number(Atomics.load(this.#values, KILL_AT));
  }

  set killAtMs(atMs: number) {
    Atomics.store(this.#values, KILL_AT, BigInt(Math.round(atMs)));
  }
}

/** Whole milliseconds of the machine's monotonic clock: the same in every thread, as performance.now() is not. */
export function machineMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
