import { systemClock, systemRandom } from "@holdfast/core";
import type { Override, OverrideId, OverrideLayer, Overrides } from "./override.ts";
import { decodeOverride, encodeOverride, overrideKey, overrideScope } from "./override-codec.ts";
import { type OverrideListener, type OverrideStore, refuseWrite, type WriteResult } from "./override-store.ts";
import { OverrideWatcher } from "./override-watcher.ts";

/** Nothing but a write of this very object can change it, so there is nothing to poll for. */
const NO_POLL_MS = 24 * 3_600_000;

/** Overrides of one process, for tests and for services that tune themselves. */
export function memoryOverrideStore(): OverrideStore {
  return new MemoryOverrideStore();
}

class MemoryOverrideStore implements OverrideStore {
  readonly #stored = new Map<string, string>();
  readonly #watcher = new OverrideWatcher({
    readMany: (ids) => Promise.all(ids.map((id) => this.read(id))),
    pollMs: NO_POLL_MS,
    clock: systemClock,
    random: systemRandom,
  });

  read(id: OverrideId): Promise<Overrides> {
    return Promise.resolve({ controller: this.#get(id, "controller"), operator: this.#get(id, "operator") });
  }

  async write(layer: OverrideLayer, id: OverrideId, override: Override): Promise<WriteResult> {
    // Stored as the other stores do, so that nobody shares an object with a reader.
    const text = encodeOverride(override);
    const refused = refuseWrite(this.#get(id, layer), override);
    if (refused) return refused;
    this.#stored.set(overrideKey(id, layer), text);
    this.#watcher.hint(overrideScope(id));
    return { ok: true };
  }

  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void {
    return this.#watcher.watch(ids, listener);
  }

  close(): Promise<void> {
    this.#watcher.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #get(id: OverrideId, layer: OverrideLayer): Override | undefined {
    const text = this.#stored.get(overrideKey(id, layer));
    return text === undefined ? undefined : decodeOverride(text);
  }
}
