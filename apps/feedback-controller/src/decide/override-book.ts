import type { Clock } from "@holdfast/core";
import type { Override, OverrideId, OverrideStore, Tunable } from "@holdfast/policy";

export interface OverrideBookOptions {
  store: OverrideStore;
  id: OverrideId;
  /** Who writes, for the people who read it. */
  author: string;
  /** Term of this process: larger than that of any before it. */
  epoch: number;
  ttlMs: number;
  clock: Clock;
}

export type Values = Readonly<Partial<Record<Tunable, number>>>;

export interface Entry {
  values: Values;
  reason: string;
  decisionId: string;
  deleted?: true | undefined;
}

export type Written = { ok: true; epoch: number; version: number } | { ok: false; reason: string };

/** One target's overrides as the store has them, and the controller's pen. */
export class OverrideBook {
  readonly id: OverrideId;
  readonly #options: OverrideBookOptions;
  #epoch: number | undefined;
  #lastVersion = 0;
  #controller: Override | undefined;
  #operator: Override | undefined;
  #fenced = false;

  constructor(options: OverrideBookOptions) {
    this.id = options.id;
    this.#options = options;
  }

  /** True once a controller with a later term has written: this one has been replaced. */
  get fenced(): boolean {
    return this.#fenced;
  }

  /** The controller's layer while it counts. */
  get controller(): Override | undefined {
    return this.#live(this.#controller);
  }

  /** What people have set, while it counts. */
  get operator(): Override | undefined {
    return this.#live(this.#operator);
  }

  /** @throws HoldfastError POLICY_STORE_UNAVAILABLE */
  async refresh(): Promise<void> {
    const { controller, operator } = await this.#options.store.read(this.id);
    this.#controller = controller;
    this.#operator = operator;
    if (controller === undefined) return;
    // The first look is where the term begins; who writes with a later one afterwards has taken over.
    this.#epoch ??= Math.max(this.#options.epoch, controller.epoch + 1);
    if (controller.epoch > this.#epoch) this.#fenced = true;
    this.#lastVersion = Math.max(this.#lastVersion, controller.version);
  }

  /**
   * Replaces the controller's layer. `refresh` comes before.
   *
   * @throws HoldfastError POLICY_STORE_UNAVAILABLE; the write may have happened
   */
  async write({ values, reason, decisionId, deleted }: Entry): Promise<Written> {
    const { store, author, ttlMs, clock } = this.#options;
    this.#epoch ??= this.#options.epoch;
    const epoch = this.#epoch;
    // A store that lost its data takes any version; the fleet still knows the last, and wants a larger one.
    const version = this.#lastVersion + 1;
    const override: Override = {
      epoch,
      version,
      values: { ...values },
      expiresAtMs: clock.now() + ttlMs,
      author,
      reason,
      decisionId,
      ...(deleted === undefined ? {} : { deleted }),
    };
    const result = await store.write("controller", this.id, override);
    if (!result.ok) {
      if (result.reason === "stale-epoch") this.#fenced = true;
      return { ok: false, reason: result.reason };
    }
    this.#lastVersion = version;
    this.#controller = override;
    return { ok: true, epoch, version };
  }

  #live(override: Override | undefined): Override | undefined {
    if (override === undefined || override.deleted === true) return undefined;
    return override.expiresAtMs > this.#options.clock.now() ? override : undefined;
  }
}
