import type { Override, OverrideId, OverrideLayer, Overrides } from "./override.ts";

/**
 * `stale-epoch`: somebody with a newer term has written. `version-conflict`: somebody else has written since; read
 * again and decide again.
 */
export type WriteResult =
  | { ok: true }
  | { ok: false; reason: "stale-epoch" | "version-conflict"; stored: { epoch: number; version: number } };

/** Must not throw. */
export interface OverrideListener {
  /** Called with what is stored at the start, and again whenever it is read and differs. */
  onChange(overrides: Overrides, id: OverrideId): void;
  /** Called when the store could not be read; it goes on trying. What was told before stays true as far as anyone knows. */
  onError?: ((error: unknown) => void) | undefined;
  /** Called when the store could be read again after an error, before `onChange` if something differs. */
  onRecovery?: (() => void) | undefined;
}

/** Where overrides are kept: Redis, SQLite or memory, all with the same meaning. */
export interface OverrideStore extends AsyncDisposable {
  /**
   * @returns both layers as stored, expired ones and tombstones included; absent where nothing was ever written
   * @throws HoldfastError POLICY_STORE_UNAVAILABLE when the store does not answer in time
   */
  read(id: OverrideId): Promise<Overrides>;
  /**
   * Compare and set. Refused unless `override.epoch` is at least the stored one and `override.version` is the stored
   * one plus 1. Where nothing is stored any version is taken: a store that lost its data must not make its writers count
   * from 1 again below what the fleet already runs.
   *
   * @throws HoldfastError POLICY_STORE_UNAVAILABLE when the store does not answer in time; the write may have happened
   * @throws TypeError or RangeError when the override is not one
   */
  write(layer: OverrideLayer, id: OverrideId, override: Override): Promise<WriteResult>;
  /** Follows the targets: at once on a hint where the store can give one, by a slow poll in any case. */
  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void;
  /** Ends every watch and frees what the store opened. */
  close(): Promise<void>;
}

/**
 * The rule that every store applies, here in the one place that they are compared with.
 *
 * @returns why the write is refused; undefined when it may happen
 */
export function refuseWrite(
  stored: { epoch: number; version: number } | undefined,
  next: { epoch: number; version: number },
): WriteResult | undefined {
  if (!stored) return undefined;
  const { epoch, version } = stored;
  if (next.epoch < epoch) return { ok: false, reason: "stale-epoch", stored: { epoch, version } };
  if (next.version !== version + 1) return { ok: false, reason: "version-conflict", stored: { epoch, version } };
  return undefined;
}
