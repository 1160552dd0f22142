import type { Clock, Logger, Timer } from "@holdfast/core";
import type { EchoRow, LiveLayers, LiveTarget, RejectedOverride, TargetListener } from "./live-target.ts";
import type { Overrides } from "./override.ts";
import { overrideLayers, TargetLayers } from "./target-layers.ts";
import type { TargetPolicy, Tunable } from "./target-policy.ts";
import { getTunable, tunables, withTunables } from "./tunable.ts";

/** How often expiries are compared with the wall clock at least, which may have jumped since the timer was set. */
const LONGEST_LOOK_AWAY_MS = 5_000;

/** A target's policy, decided anew whenever a layer changes or expires. */
export class FollowedTarget implements LiveTarget {
  readonly name: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #layers = new TargetLayers();
  readonly #listeners = new Set<TargetListener>();
  #base: TargetPolicy;
  #documents: number;
  #stored: Overrides = {};
  #current: TargetPolicy;
  /** The document that `current` was made from. */
  #decidedOn: TargetPolicy;
  #timer: Timer | undefined;

  constructor(base: TargetPolicy, documents: number, clock: Clock, logger: Logger) {
    this.name = base.name;
    this.#base = base;
    this.#documents = documents;
    this.#current = base;
    this.#decidedOn = base;
    this.#clock = clock;
    this.#logger = logger;
  }

  get current(): TargetPolicy {
    return this.#current;
  }

  get layers(): LiveLayers {
    const { controller, operator } = this.#layers;
    return {
      file: { epoch: 0, version: this.#documents },
      ...(controller && { controller }),
      ...(operator && { operator }),
    };
  }

  get rejected(): readonly RejectedOverride[] {
    return this.#layers.rejected;
  }

  onChange(listener: TargetListener): () => void {
    // A wrapper of its own: the same function given twice is told twice, and taken back one at a time.
    const each: TargetListener = (current, before) => listener(current, before);
    this.#listeners.add(each);
    return () => this.#listeners.delete(each);
  }

  accept(stored: Overrides): void {
    this.#stored = stored;
    this.#report(this.#layers.accept(this.#base, stored, this.#clock.now()));
    this.#decide();
  }

  rebase(base: TargetPolicy, documents: number): void {
    this.#base = base;
    this.#documents = documents;
    this.#report(this.#layers.rebase(base, this.#stored, this.#clock.now()));
    this.#decide();
  }

  echo(): EchoRow {
    const { file, ...overrides } = this.layers;
    const layers: EchoRow["layers"] = [{ layer: "file", ...file }];
    for (const layer of overrideLayers) {
      const override = overrides[layer];
      if (override) layers.push({ layer, epoch: override.epoch, version: override.version });
    }
    const values = this.#layers.values();
    return {
      target: this.name,
      layers,
      values: tunables.map((knob) => ({
        knob,
        value: getTunable(this.#current, knob),
        layer: values.get(knob)?.layer ?? "file",
      })),
      rejections: this.#layers.rejections,
    };
  }

  close(): void {
    this.#timer?.cancel();
  }

  #decide(): void {
    this.#layers.expire(this.#clock.now());
    const values: Partial<Record<Tunable, number>> = {};
    for (const [knob, { value }] of this.#layers.values()) values[knob] = value;
    const next = withTunables(this.#base, values);
    this.#arm();
    const before = this.#current;
    const sameDocument = this.#decidedOn === this.#base;
    this.#decidedOn = this.#base;
    if (sameDocument && tunables.every((knob) => getTunable(next, knob) === getTunable(before, knob))) return;
    this.#current = next;
    for (const listener of this.#listeners) this.#tell(listener, next, before);
  }

  #tell(listener: TargetListener, next: TargetPolicy, before: TargetPolicy): void {
    try {
      listener(next, before);
    } catch (error) {
      // One listener's mistake must not keep the others from the new values.
      this.#logger.error({ target: this.name, error }, "a listener of the policy threw");
    }
  }

  #arm(): void {
    this.#timer?.cancel();
    const expiryMs = this.#layers.nextExpiryMs();
    if (expiryMs === undefined) return;
    const remainingMs = Math.max(0, expiryMs - this.#clock.now());
    this.#timer = this.#clock.after(Math.min(remainingMs, LONGEST_LOOK_AWAY_MS), () => this.#decide());
  }

  #report(refused: readonly RejectedOverride[]): void {
    for (const { layer, epoch, version, decisionId, reason } of refused) {
      const fields = { target: this.name, layer, epoch, version, decisionId, reason };
      this.#logger.warn(fields, "an override was refused; what was in force stays");
    }
  }
}
