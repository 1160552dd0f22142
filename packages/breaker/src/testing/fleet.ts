import { seededRandom, TestClock } from "@holdfast/testkit";
import { onTestFinished } from "vitest";
import { type BreakerOptions, CircuitBreaker } from "../circuit-breaker.ts";
import type { ClusterRecord } from "../cluster-state.ts";
import { memoryStoreOver } from "../memory-store.ts";
import type { Transition } from "../transition.ts";
import { InstanceLink } from "./instance-link.ts";

/** One instance of a fleet, with its own way to the store that all share. */
export class Instance {
  readonly domain: string;
  readonly breaker: CircuitBreaker;
  readonly link: InstanceLink;
  readonly transitions: Transition[] = [];

  constructor(domain: string, breaker: CircuitBreaker, link: InstanceLink) {
    this.domain = domain;
    this.breaker = breaker;
    this.link = link;
    breaker.onTransition((transition) => void this.transitions.push(transition));
  }

  /** Makes a call that ends at once, if it is admitted. Returns whether it was. */
  call(success: boolean): boolean {
    const permit = this.breaker.tryAcquire();
    if (!permit.admitted) return false;
    if (success) permit.succeed();
    else permit.fail();
    return true;
  }

  calls(count: number, success: boolean): void {
    for (let made = 0; made < count; made++) this.call(success);
  }
}

export interface Fleet {
  readonly clock: TestClock;
  readonly records: Map<string, ClusterRecord>;
  readonly instances: readonly Instance[];
  states(): string[];
  /** Every instance makes a call each 20 ms, for a while. Returns how many were admitted. */
  traffic(ms: number, succeeds: (instance: Instance) => boolean): Promise<number>;
}

/** A fleet in one process, on a test clock: one instance for each domain named. */
export async function startFleet(domains: readonly string[], options: Partial<BreakerOptions> = {}): Promise<Fleet> {
  const clock = new TestClock();
  const random = seededRandom(7);
  const records = new Map<string, ClusterRecord>();
  const store = memoryStoreOver(records, clock);
  const instances = domains.map((domain, place) => {
    const link = new InstanceLink(store);
    const breaker = new CircuitBreaker({
      name: "target",
      mode: "enforce",
      openMs: 1_000,
      leaseMs: 2_000,
      clock,
      random,
      store: link,
      identity: { namespace: "test", service: "caller", domain, instance: `${domain}/${place}` },
      ...options,
    });
    onTestFinished(() => breaker.close());
    return new Instance(domain, breaker, link);
  });
  // A record that was just made does not trip.
  await clock.advanceAsync(500);
  return {
    clock,
    records,
    instances,
    states: () => instances.map(({ breaker }) => breaker.state),
    async traffic(ms, succeeds) {
      let admitted = 0;
      for (let passed = 0; passed < ms; passed += 20) {
        for (const instance of instances) if (instance.call(succeeds(instance))) admitted++;
        await clock.advanceAsync(20);
      }
      return admitted;
    },
  };
}

export function hosts(count: number): string[] {
  return Array.from({ length: count }, (_, place) => `host-${place + 1}`);
}
