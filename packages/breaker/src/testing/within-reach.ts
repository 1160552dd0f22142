import type { BreakerStore } from "../store.ts";

/** Resolves when the store is, or is not, within reach. */
export function withinReach(store: BreakerStore, wanted = true): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unlisten();
      resolve();
    };
    const unlisten = store.onSharing((sharing) => {
      if (sharing === wanted) done();
    });
    if (store.sharing === wanted) done();
  });
}
