import type { Lease } from "./fleet-side.ts";
import type { LocalTrial } from "./local-circuit.ts";
import type { Permit, Rejection } from "./permit.ts";
import type { TrialOutcome } from "./store.ts";

export type Trial = { readonly local: LocalTrial } | { readonly lease: Lease };

/** Who hears how a call went. */
export interface PermitKeeper {
  settle(epoch: number, trial: Trial | null, outcome: TrialOutcome): void;
}

/** An epoch that no gate is ever in: what is said under it counts for nothing. */
export const NO_EPOCH = -1;

export class GatePermit implements Permit {
  readonly admitted = true;
  readonly observed: Rejection | undefined;
  readonly #keeper: PermitKeeper;
  readonly #epoch: number;
  readonly #trial: Trial | null;
  #settled = false;

  constructor(keeper: PermitKeeper, epoch: number, trial: Trial | null, observed?: Rejection) {
    this.#keeper = keeper;
    this.#epoch = epoch;
    this.#trial = trial;
    this.observed = observed;
  }

  succeed(): void {
    this.#settle("success");
  }

  fail(): void {
    this.#settle("failure");
  }

  ignore(): void {
    this.#settle("ignored");
  }

  #settle(outcome: TrialOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#keeper.settle(this.#epoch, this.#trial, outcome);
  }
}

/** Handed out while a breaker is off: nothing is counted, so one does for everybody. */
export const freePermit: Permit = Object.freeze({
  admitted: true as const,
  succeed() {},
  fail() {},
  ignore() {},
});
