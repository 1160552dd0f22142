import type { BreakerState } from "./permit.ts";
import type { BreakerSettings } from "./settings.ts";

/** Who a breaker is in the fleet. Its key in the store is `namespace/service/name`. */
export interface BreakerIdentity {
  /** Keeps fleets in one store apart. Default "default". */
  namespace: string;
  /** The service that makes the calls. Default "default". */
  service: string;
  /** What fails together, such as a host: evidence counts once per domain. Default the host's name. */
  domain: string;
  /** This process, unique in the fleet. Default a random id. */
  instance: string;
}

/** Version of what stores keep and say. Fields are only ever added; whoever meets a newer number keeps to itself. */
export const STORE_SCHEMA = 1;

/** What the fleet holds true of one breaker. */
export interface FleetView {
  readonly schema: number;
  /** Random, made with the record: another one means that the store lost everything in between. */
  readonly incarnation: string;
  /** One more with each transition. */
  readonly generation: number;
  readonly state: BreakerState;
  /** Since when, in milliseconds since the epoch by the store's clock. */
  readonly sinceMs: number;
  /** How much of the open time is left, in milliseconds; 0 unless open. */
  readonly remainingMs: number;
  /** Opens in a row without a close between them. */
  readonly opens: number;
  /** The instance whose report decided the last transition. */
  readonly by: string;
  /** When the last transition was decided, in milliseconds since the epoch with a fraction, by the store's clock. */
  readonly decidedAtMs: number;
}

export type TrialOutcome = "success" | "failure" | "ignored";

export interface TrialResult {
  readonly token: string;
  readonly outcome: TrialOutcome;
}

/** An unexpired open state that an instance still holds, in case the store has lost it. */
export interface HeldOpen {
  readonly sinceMs: number;
  readonly remainingMs: number;
  readonly opens: number;
}

/** One breaker's part of an exchange: what happened here since the last one, and what is asked for. */
export interface SyncRequest {
  /** `namespace/service/name`. */
  readonly id: string;
  readonly domain: string;
  readonly instance: string;
  readonly settings: BreakerSettings;
  /** Of the view that the counts were made under; "" when there is none yet. */
  readonly incarnation: string;
  readonly generation: number;
  readonly successes: number;
  readonly failures: number;
  /** Failures since the last success among them: all of them when there was none. */
  readonly tail: number;
  /** The instance's own window has tripped and the fleet's state is closed: it rejects by itself. */
  readonly tripped: boolean;
  /** How many trial leases it could use now. */
  readonly wanted: number;
  /** Leases not used yet, to be kept for longer unless somebody else waits. */
  readonly renew: readonly string[];
  readonly trials: readonly TrialResult[];
  readonly held: HeldOpen | null;
  /** Random and new in each request: names incarnation and leases that this request makes. */
  readonly nonce: string;
  /** A random number from 0 to 1 for the length of an open that this request causes. */
  readonly draw: number;
}

export interface SyncReply {
  readonly view: FleetView;
  /** Tokens of the leases granted or renewed, each good for the settings' `leaseMs` by the store's clock. */
  readonly leases: readonly string[];
}

/**
 * Where a fleet meets. An implementation adds what instances report to the fleet's window, moves the state, and tells
 * everybody; it never sees a call. Nothing here is on a call's path.
 */
export interface BreakerStore extends AsyncDisposable {
  readonly kind: string;
  /** Whether the store could be reached when it was last tried. */
  readonly sharing: boolean;
  /** Told at once when `sharing` changes. Returns the way to stop it. */
  onSharing(listener: (sharing: boolean) => void): () => void;
  /**
   * One exchange for any number of breakers, replies in the order of the requests.
   *
   * @throws when the store could not be reached in time: nothing may be assumed about what it did
   */
  sync(requests: readonly SyncRequest[]): Promise<readonly SyncReply[]>;
  /** Told of transitions, soon but not surely: a hint may be lost, or come late. Returns the way to stop it. */
  watch(id: string, onHint: (view: FleetView) => void): () => void;
  /** Lets go of connections and timers. Breakers that use it go on by themselves. */
  close(): Promise<void>;
}
