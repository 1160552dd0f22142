import { defaultSettings } from "../settings.ts";
import type { BreakerStore, FleetView, SyncReply, SyncRequest } from "../store.ts";

let nonces = 0;

/** A request that says nothing, with what the test is about put over it. */
export function request(parts: Partial<SyncRequest> = {}): SyncRequest {
  return {
    id: "test/caller/target",
    domain: "host-1",
    instance: "instance-1",
    settings: testSettings,
    incarnation: "",
    generation: 0,
    successes: 0,
    failures: 0,
    tail: parts.failures ?? 0,
    tripped: false,
    wanted: 0,
    renew: [],
    trials: [],
    held: null,
    nonce: `nonce-${++nonces}`,
    draw: 0,
    ...parts,
  };
}

export const testSettings = {
  ...defaultSettings,
  mode: "enforce" as const,
  windowMs: 10_000,
  minimumCalls: 10,
  failureRateThreshold: 0.5,
  consecutiveFailures: 0,
  openMs: 1_000,
  maxOpenMs: 8_000,
  halfOpenPermits: 3,
  halfOpenSuccessRatio: 0.5,
  leaseMs: 2_000,
};

/** One instance's side of a conversation with a store: it remembers the view, as a breaker does. */
export class Speaker {
  readonly #store: BreakerStore;
  readonly #who: { id: string; domain: string; instance: string };
  view: FleetView | undefined;

  constructor(store: BreakerStore, who: { id: string; domain: string; instance: string }) {
    this.#store = store;
    this.#who = who;
  }

  async say(parts: Partial<SyncRequest> = {}): Promise<SyncReply> {
    const [reply] = await this.#store.sync([
      request({
        ...this.#who,
        incarnation: this.view?.incarnation ?? "",
        generation: this.view?.generation ?? 0,
        ...parts,
      }),
    ]);
    this.view = reply!.view;
    return reply!;
  }
}
