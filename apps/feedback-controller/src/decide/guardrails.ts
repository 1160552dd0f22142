import type { Bound } from "@holdfast/policy";
import type { Proposal } from "./law.ts";

export interface GuardOptions {
  old: number;
  proposal: Proposal;
  bound: Bound;
  /** The finest step of the knob: 1 for a number of connections, 0.01 for a share. */
  grain: number;
}

export type Guarded = { value: number; binding: string } | { hold: string };

/** What moves less than this is not worth a decision (Kubernetes' HPA has the same 10 %). */
const TOLERANCE = 0.1;

/**
 * What is left of a proposal: inside the policy's bounds, not further than its largest step, and large enough to be
 * worth it. Bounds win over the step, because instances refuse what is outside of them.
 */
export function guardProposal({ old, proposal, bound, grain }: GuardOptions): Guarded {
  const { value: wanted, urgent = false } = proposal;
  if (!urgent && Math.abs(wanted - old) < TOLERANCE * old) return { hold: "within tolerance" };
  let { binding } = proposal;
  let value = wanted;
  if (Math.abs(value - old) > bound.maxStep) {
    value = old + Math.sign(value - old) * bound.maxStep;
    binding = "max-step";
  }
  if (value < bound.min || value > bound.max) {
    value = Math.min(bound.max, Math.max(bound.min, value));
    binding = "bounds";
  }
  value = Math.min(bound.max, Math.max(bound.min, rounded(value, old, grain)));
  if (Math.abs(value - old) < grain / 2) return { hold: `nothing left to move (${binding})` };
  return { value, binding };
}

/** To the knob's grain, towards where we come from: rounding must not make the step larger. */
function rounded(value: number, old: number, grain: number): number {
  const grains = value / grain;
  const whole = value > old ? Math.floor(grains + SLACK) : Math.ceil(grains - SLACK);
  return Number((whole * grain).toFixed(6));
}

/** Of a grain: what binary fractions do to 0.35 / 0.01. */
const SLACK = 1e-6;
