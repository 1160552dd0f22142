import { numberOption, wordOption } from "@holdfast/core";

/**
 * `enforce` rejects; `observe` admits every call and reports what it would have rejected; `off` admits and counts
 * nothing.
 */
export type BreakerMode = "enforce" | "observe" | "off";

/** Everything about a breaker that may change while it runs: plain numbers and words, safe to serialise. */
export interface BreakerSettings {
  /** Default "observe": nobody enforces on day one. */
  mode: BreakerMode;
  /** How far back results count, in milliseconds. Default 10_000, from 100 to 3_600_000. */
  windowMs: number;
  /** Finished calls in the window before the failure rate is looked at. Default 10, a whole number of 1 or more. */
  minimumCalls: number;
  /** Share of failures in the window that trips, above 0 up to 1. Default 0.5. */
  failureRateThreshold: number;
  /** Failures in a row that trip, whatever the rate. Default 5; 0 switches the rule off. */
  consecutiveFailures: number;
  /** How long the first open lasts at most, in milliseconds. Default 5_000, from 1 to `maxOpenMs`. */
  openMs: number;
  /** How long an open lasts at most, however many trials failed, in milliseconds. Default 120_000, from 1 to 86_400_000. */
  maxOpenMs: number;
  /** Trial calls of one half-open round, fleet-wide when the state is shared. Default 3, from 1 to 100. */
  halfOpenPermits: number;
  /** Share of a round's trials that must succeed to close, above 0 up to 1. Default 0.5. */
  halfOpenSuccessRatio: number;
  /** How long a trial may take before it counts as failed, in milliseconds. Default 10_000, from 10 to 600_000. */
  leaseMs: number;
}

/** Settings as a user gives them: what is absent keeps its default, or its present value on reconfiguration. */
export type BreakerSettingsInput = { [Name in keyof BreakerSettings]?: BreakerSettings[Name] | undefined };

const MODES = ["enforce", "observe", "off"] as const;
const DAY_MS = 86_400_000;

export const defaultSettings: Readonly<BreakerSettings> = {
  mode: "observe",
  windowMs: 10_000,
  minimumCalls: 10,
  failureRateThreshold: 0.5,
  consecutiveFailures: 5,
  openMs: 5_000,
  maxOpenMs: 120_000,
  halfOpenPermits: 3,
  halfOpenSuccessRatio: 0.5,
  leaseMs: 10_000,
};

/**
 * Checks settings and fills in what is absent.
 *
 * @throws TypeError or RangeError naming the option and the value
 */
export function resolveSettings(
  input: BreakerSettingsInput,
  fallback: Readonly<BreakerSettings> = defaultSettings,
): BreakerSettings {
  const maxOpenMs = numberOption("maxOpenMs", input.maxOpenMs, fallback.maxOpenMs, { min: 1, max: DAY_MS });
  // A lowered ceiling takes an absent openMs down with it; a given one that does not fit is a mistake to name.
  const openMs = Math.min(fallback.openMs, maxOpenMs);
  return {
    mode: wordOption("mode", input.mode, fallback.mode, MODES),
    windowMs: numberOption("windowMs", input.windowMs, fallback.windowMs, { min: 100, max: 3_600_000 }),
    minimumCalls: numberOption("minimumCalls", input.minimumCalls, fallback.minimumCalls, { min: 1, integer: true }),
    failureRateThreshold: ratioOption("failureRateThreshold", input, fallback),
    consecutiveFailures: numberOption("consecutiveFailures", input.consecutiveFailures, fallback.consecutiveFailures, {
      min: 0,
      integer: true,
    }),
    openMs: numberOption("openMs", input.openMs, openMs, { min: 1, max: maxOpenMs }),
    maxOpenMs,
    halfOpenPermits: numberOption("halfOpenPermits", input.halfOpenPermits, fallback.halfOpenPermits, {
      min: 1,
      max: 100,
      integer: true,
    }),
    halfOpenSuccessRatio: ratioOption("halfOpenSuccessRatio", input, fallback),
    leaseMs: numberOption("leaseMs", input.leaseMs, fallback.leaseMs, { min: 10, max: 600_000 }),
  };
}

function ratioOption(
  name: "failureRateThreshold" | "halfOpenSuccessRatio",
  input: BreakerSettingsInput,
  fallback: Readonly<BreakerSettings>,
): number {
  const value = numberOption(name, input[name], fallback[name], { min: 0, max: 1 });
  if (value === 0) throw new RangeError(`${name} must be above 0, up to 1, not 0`);
  return value;
}
