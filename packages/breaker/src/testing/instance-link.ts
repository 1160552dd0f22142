import { SharingState } from "../sharing-state.ts";
import type { BreakerStore, FleetView, SyncReply, SyncRequest } from "../store.ts";

/** One instance's way to a store that several share: with faults of its own, and an account of its use. */
export class InstanceLink implements BreakerStore {
  readonly kind = "link";
  /** Hints do not arrive. */
  deaf = false;
  /** Replies are held back until `release`. */
  held: (() => void)[] | undefined;
  exchanges = 0;
  readonly #store: BreakerStore;
  readonly #state = new SharingState(true);
  #down = false;

  constructor(store: BreakerStore) {
    this.#store = store;
  }

  get sharing(): boolean {
    return this.#state.sharing;
  }

  /** Out of reach: every exchange fails. */
  set down(down: boolean) {
    this.#down = down;
    if (down) this.#state.set(false);
  }

  onSharing(listener: (sharing: boolean) => void): () => void {
    return this.#state.listen(listener);
  }

  async sync(requests: readonly SyncRequest[]): Promise<readonly SyncReply[]> {
    this.exchanges++;
    if (this.#down) throw new Error("out of reach");
    const replies = await this.#store.sync(requests);
    const { held } = this;
    if (held) await new Promise<void>((resolve) => held.push(resolve));
    this.#state.set(true);
    return replies;
  }

  watch(id: string, onHint: (view: FleetView) => void): () => void {
    return this.#store.watch(id, (view) => {
      if (!this.deaf && !this.#down) onHint(view);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
