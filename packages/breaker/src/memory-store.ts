import { type Clock, systemClock } from "@holdfast/core";
import { type ClusterRecord, syncRecord, viewOf } from "./cluster-state.ts";
import type { BreakerStore, FleetView, SyncReply, SyncRequest } from "./store.ts";

export interface MemoryStoreOptions {
  /** The store's clock. Default the machine's. */
  clock?: Clock | undefined;
}

/** A store in this process's memory: for tests, and to see the fleet's rules at work without a server. */
export function memoryStore(options: MemoryStoreOptions = {}): BreakerStore {
  return memoryStoreOver(new Map(), options.clock ?? systemClock);
}

/** With its records in the caller's hands. */
export function memoryStoreOver(records: Map<string, ClusterRecord>, clock: Clock): BreakerStore {
  return new MemoryStore(records, clock);
}

class MemoryStore implements BreakerStore {
  readonly kind = "memory";
  readonly sharing = true;
  readonly #clock: Clock;
  readonly #records: Map<string, ClusterRecord>;
  readonly #watchers = new Map<string, Set<(view: FleetView) => void>>();

  constructor(records: Map<string, ClusterRecord>, clock: Clock) {
    this.#records = records;
    this.#clock = clock;
  }

  onSharing(): () => void {
    return () => {};
  }

  sync(requests: readonly SyncRequest[]): Promise<readonly SyncReply[]> {
    const nowMs = this.#clock.now();
    const replies = requests.map((request) => {
      const { record, reply, moved } = syncRecord(this.#records.get(request.id) ?? null, request, nowMs);
      this.#records.set(request.id, record);
      if (moved) this.#hint(request.id, viewOf(record, nowMs));
      return reply;
    });
    return Promise.resolve(replies);
  }

  watch(id: string, onHint: (view: FleetView) => void): () => void {
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers);
    watchers.add(onHint);
    return () => {
      watchers.delete(onHint);
      if (watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
    };
  }

  close(): Promise<void> {
    this.#watchers.clear();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hint(id: string, view: FleetView): void {
    for (const onHint of this.#watchers.get(id) ?? []) queueMicrotask(() => onHint(view));
  }
}
