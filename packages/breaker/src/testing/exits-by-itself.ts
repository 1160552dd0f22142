// A program that uses a shared breaker and closes nothing: it must end all the same.
import { CircuitBreaker } from "../circuit-breaker.ts";
import { redisStore } from "../redis-store.ts";
import { sqliteStore } from "../sqlite-store.ts";

const [kind, where] = process.argv.slice(2);
const store = kind === "redis" ? redisStore({ redis: where! }) : sqliteStore({ file: where! });
const breaker = new CircuitBreaker({ name: "target", mode: "enforce", store });
await breaker.execute(() => Promise.resolve());
// Past the first exchange where there is one to be had, so that connections and timers are all in place.
if (process.argv[4] === "shared")
  await new Promise<void>((resolve) => {
    // Nothing of the breaker's holds the process, so the wait itself has to.
    const hold = setInterval(() => {}, 1_000);
    breaker.onSharing(() => {
      clearInterval(hold);
      resolve();
    });
  });
console.log(`done ${breaker.state} ${breaker.sharing}`);
