import { knobs } from "./knob.ts";
import type { TargetPolicy, Tunable } from "./target-policy.ts";

/** Everything that may be tuned. */
export const tunables: readonly Tunable[] = Object.freeze(Object.keys(knobs) as Tunable[]);

export function isTunable(name: string): name is Tunable {
  return Object.hasOwn(knobs, name);
}

/** The knob's value in a policy, as a share of 0 to 1 or a number of connections. */
export function getTunable(policy: TargetPolicy, knob: Tunable): number {
  return knobs[knob].get(policy);
}

/** The same policy with other values. Checks nothing: ask `checkTunable` before. */
export function withTunables(policy: TargetPolicy, values: Readonly<Partial<Record<Tunable, number>>>): TargetPolicy {
  let changed = policy;
  for (const knob of tunables) {
    const value = values[knob];
    if (value !== undefined && value !== knobs[knob].get(changed)) changed = knobs[knob].set(changed, value);
  }
  return Object.freeze(changed);
}

/**
 * Whether a knob may be set to a value: within what any document may say, and within the policy's own bounds where it
 * has some. The step is not checked: only the writer knows what it moved from.
 *
 * @returns why not, in words; undefined when it may
 */
export function checkTunable(policy: TargetPolicy, knob: Tunable, value: number): string | undefined {
  const { quantity } = knobs[knob];
  const refused = quantity.check(value);
  if (refused !== undefined) return `${knob} ${refused}`;
  const bound = policy.tuning.bounds[knob];
  if (bound && (value < bound.min || value > bound.max)) {
    const range = `${quantity.format(bound.min)} to ${quantity.format(bound.max)}`;
    return `${knob} is bound to ${range}, ${quantity.format(value)} is outside`;
  }
  return undefined;
}

/** The value as a document would write it: "50%", "4". */
export function formatTunable(knob: Tunable, value: number): string {
  return knobs[knob].quantity.format(value);
}
