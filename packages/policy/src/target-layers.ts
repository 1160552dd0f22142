import type { RejectedOverride } from "./live-target.ts";
import type { Override, OverrideLayer, Overrides } from "./override.ts";
import type { TargetPolicy, Tunable } from "./target-policy.ts";
import { checkTunable, isTunable } from "./tunable.ts";

/** From the weaker to the stronger. */
export const overrideLayers: readonly OverrideLayer[] = ["controller", "operator"];

/** What one target holds of the layers above its document. Pure: the caller brings the time. */
export class TargetLayers {
  /** In force, if not expired. */
  readonly #held = new Map<OverrideLayer, Override>();
  /** The last version looked at, taken or not: only a larger one is looked at again. */
  readonly #seen = new Map<OverrideLayer, { epoch: number; version: number }>();
  readonly #rejected = new Map<OverrideLayer, RejectedOverride>();
  #rejections = 0;

  get controller(): Override | undefined {
    return this.#held.get("controller");
  }

  get operator(): Override | undefined {
    return this.#held.get("operator");
  }

  /** The last override of each layer that was refused, unless a good one came since. */
  get rejected(): RejectedOverride[] {
    return [...this.#rejected.values()];
  }

  /** All overrides that were ever refused. */
  get rejections(): number {
    return this.#rejections;
  }

  /**
   * Takes what a store holds.
   *
   * @returns what was refused now
   */
  accept(base: TargetPolicy, stored: Overrides, nowMs: number): RejectedOverride[] {
    const refused: RejectedOverride[] = [];
    for (const layer of overrideLayers) {
      const override = stored[layer];
      if (!override) {
        // Absent is not deleted: what is held stays until it expires. But a store that lost its data, or cleaned up
        // after an expiry, counts anew, and its next write must not seem old.
        this.#seen.delete(layer);
        continue;
      }
      if (!isNewer(override, this.#seen.get(layer))) continue;
      this.#seen.set(layer, { epoch: override.epoch, version: override.version });
      const reason = override.deleted || override.expiresAtMs <= nowMs ? undefined : refusal(base, layer, override);
      if (reason !== undefined) {
        refused.push(this.#reject(layer, override, reason, nowMs));
        continue;
      }
      this.#rejected.delete(layer);
      if (override.deleted) this.#held.delete(layer);
      else this.#held.set(layer, override);
    }
    this.expire(nowMs);
    return refused;
  }

  /** Lets go of what has expired. */
  expire(nowMs: number): void {
    for (const [layer, { expiresAtMs }] of this.#held) if (expiresAtMs <= nowMs) this.#held.delete(layer);
  }

  /** Another document lies below now: looks at everything again that the store holds. */
  rebase(base: TargetPolicy, stored: Overrides, nowMs: number): RejectedOverride[] {
    this.#seen.clear();
    const refused: RejectedOverride[] = [];
    for (const [layer, override] of this.#held) {
      const reason = refusal(base, layer, override);
      if (reason === undefined) continue;
      this.#held.delete(layer);
      refused.push(this.#reject(layer, override, reason, nowMs));
      // Told already: the store's copy of it is not news.
      this.#seen.set(layer, { epoch: override.epoch, version: override.version });
    }
    return [...refused, ...this.accept(base, stored, nowMs)];
  }

  /** The values in force, and the layer that each comes from. */
  values(): Map<Tunable, { value: number; layer: OverrideLayer }> {
    const values = new Map<Tunable, { value: number; layer: OverrideLayer }>();
    for (const layer of overrideLayers) {
      for (const [knob, value] of Object.entries(this.#held.get(layer)?.values ?? {})) {
        if (isTunable(knob)) values.set(knob, { value, layer });
      }
    }
    return values;
  }

  /** When the next of them expires, in milliseconds since the epoch. */
  nextExpiryMs(): number | undefined {
    const expiries = [...this.#held.values()].map((override) => override.expiresAtMs);
    return expiries.length === 0 ? undefined : Math.min(...expiries);
  }

  #reject(layer: OverrideLayer, override: Override, reason: string, atMs: number): RejectedOverride {
    const { epoch, version, decisionId } = override;
    const rejected = Object.freeze({ layer, epoch, version, decisionId, reason, atMs });
    this.#rejected.set(layer, rejected);
    this.#rejections++;
    return rejected;
  }
}

function isNewer(
  next: { epoch: number; version: number },
  seen: { epoch: number; version: number } | undefined,
): boolean {
  return !seen || next.epoch > seen.epoch || (next.epoch === seen.epoch && next.version > seen.version);
}

/** Why an override is not taken. As a whole: one decision in halves is a decision that nobody made. */
function refusal(base: TargetPolicy, layer: OverrideLayer, { values }: Override): string | undefined {
  const { mode, bounds } = base.tuning;
  if (layer === "controller" && mode !== "apply") return `the target's tuning.mode is ${mode}`;
  for (const [knob, value] of Object.entries(values)) {
    if (!isTunable(knob)) continue;
    if (layer === "controller" && !bounds[knob]) return `${knob} has no bounds: the controller may not move it`;
    const reason = checkTunable(base, knob, value);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
