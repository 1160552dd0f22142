import type { BreakerState } from "./permit.ts";

export interface Transition {
  /** The breaker's name. */
  readonly breaker: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
  /** "local": decided here, or on this instance's report; "fleet": heard of. */
  readonly origin: "local" | "fleet";
  readonly generation: number;
  /** "local" while nothing is known of a fleet. */
  readonly incarnation: string;
  /** When this instance moved, in milliseconds since the epoch. */
  readonly atMs: number;
  /** The instance whose report decided, when the fleet did. */
  readonly by?: string | undefined;
  /** When the store decided, in milliseconds since the epoch with a fraction, by the store's clock. */
  readonly decidedAtMs?: number | undefined;
}
