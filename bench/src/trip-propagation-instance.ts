// One process of the fleet whose trips are measured; trip-propagation.ts tells it what to do.
import { setTimeout as delay } from "node:timers/promises";
import { CircuitBreaker } from "@holdfast/breaker";
import { redisStore } from "@holdfast/breaker/redis";
import { calibratedWallClock } from "./wall-clock.ts";

export type Order = { kind: "trip"; fail: boolean } | { kind: "recover"; call: boolean };

export interface Answer {
  generation: number;
  /** By the store's clock, in milliseconds since the epoch with a fraction. */
  decidedAtMs: number;
  /** When this gate began to reject, by the same host's clock. */
  rejectsAtMs: number;
}

const [redis, place] = process.argv.slice(2);
const store = redisStore({ redis: redis! });
const breaker = new CircuitBreaker({
  name: "bench",
  mode: "enforce",
  store,
  identity: { namespace: "bench", service: "trips", domain: `host-${place}`, instance: `instance-${place}` },
  openMs: 50,
  maxOpenMs: 50,
  halfOpenPermits: 1,
  halfOpenSuccessRatio: 1,
});

let wallClock = calibratedWallClock();
let rejectsAtMs = 0;
breaker.onTransition(({ to }) => {
  if (to === "open" && rejectsAtMs === 0) rejectsAtMs = wallClock();
});

const answer = (): void => {
  const { fleet } = breaker.snapshot();
  const told: Answer = { generation: fleet?.generation ?? 0, decidedAtMs: fleet?.decidedAtMs ?? 0, rejectsAtMs };
  process.send!(told);
};

/** A call every few milliseconds, never all processes at once, until the state is as wanted. */
async function callUntil(done: () => boolean, call: "fail" | "succeed" | "none"): Promise<void> {
  while (!done()) {
    if (call !== "none") {
      const permit = breaker.tryAcquire();
      if (permit.admitted) permit[call]();
    }
    await delay(2 + 4 * Math.random());
  }
}

const fleetIs = (state: string): boolean => {
  const snapshot = breaker.snapshot();
  return snapshot.sharing && snapshot.fleet?.state === state;
};

process.on("message", (order: Order) => {
  void (async () => {
    if (order.kind === "trip") {
      rejectsAtMs = 0;
      wallClock = calibratedWallClock();
      await callUntil(() => fleetIs("open"), order.fail ? "fail" : "none");
    } else {
      await callUntil(() => fleetIs("closed"), order.call ? "succeed" : "none");
    }
    answer();
  })();
});
process.on("disconnect", () => process.exit(0));

if (!breaker.sharing) await new Promise<void>((resolve) => breaker.onSharing(() => resolve()));
// A record that was just made does not trip for half a second.
await delay(600);
answer();
