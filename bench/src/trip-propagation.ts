import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { guardChild, startRedis } from "@holdfast/testkit";
import type { BarResult } from "./bar.ts";
import { percentile } from "./percentile.ts";
import type { Answer, Order } from "./trip-propagation-instance.ts";

export interface TripPropagationOptions {
  /** Processes that mount the breaker. Default 6. */
  processes?: number | undefined;
  /** Trips of either kind. Default 60: 120 in all. */
  trips?: number | undefined;
  /** A Redis to use. Default a private one. */
  redis?: string | undefined;
}

const BAR_MS = 50;

/**
 * How long a trip takes to reach everybody: from the moment that the deciding script read on the server's clock to the
 * moment when the last of the processes' gates would reject, on the same host's clock.
 *
 * Two kinds. "One reports": a single process fails and all others have made no call, so that each of them can only know
 * from the store. "Outage": all make calls and all fail, so that a process may also trip by its own window first.
 */
export async function run(options: TripPropagationOptions = {}): Promise<BarResult> {
  const { processes = 6, trips = 60 } = options;
  const redis = options.redis === undefined ? await startRedis() : undefined;
  const url = options.redis ?? redis!.url;
  const instances: Instance[] = [];
  try {
    for (let place = 0; place < processes; place++) instances.push(await Instance.start(url, place));
    const oneReports: number[] = [];
    for (let trip = 0; trip < trips; trip++) {
      const reporter = instances[trip % processes]!;
      oneReports.push(await delayOf(instances, [reporter]));
      await recover(instances, [reporter]);
    }
    const outage: number[] = [];
    for (let trip = 0; trip < trips; trip++) {
      outage.push(await delayOf(instances, instances));
      await recover(instances, instances);
    }
    const all = [...oneReports, ...outage];
    return {
      name: "trip-propagation",
      bar: `deciding script to last gate of ${processes} processes, p99 of ${all.length} trips <= ${BAR_MS} ms`,
      met: all.length >= 100 && percentile(all, 0.99) <= BAR_MS,
      figures: {
        processes,
        trips: all.length,
        "p50, ms": percentile(all, 0.5),
        "p99, ms": percentile(all, 0.99),
        "max, ms": percentile(all, 1),
        "one reports: p50, ms": percentile(oneReports, 0.5),
        "one reports: p99, ms": percentile(oneReports, 0.99),
        "outage: p50, ms": percentile(outage, 0.5),
        "outage: p99, ms": percentile(outage, 0.99),
      },
    };
  } finally {
    await Promise.all(instances.map((instance) => instance.close()));
    await redis?.close();
  }
}

/** Has some of the instances fail until the fleet is open, and says how long the last gate took from the decision. */
async function delayOf(instances: readonly Instance[], failing: readonly Instance[]): Promise<number> {
  const answers = await Promise.all(
    instances.map((instance) => instance.ask({ kind: "trip", fail: failing.includes(instance) })),
  );
  const generations = new Set(answers.map((answer) => answer.generation));
  const decidedAtMs = answers[0]!.decidedAtMs;
  if (generations.size !== 1) throw new Error(`the instances are in generations ${[...generations].join(", ")}`);
  // Where every gate rejected by its own window before the fleet decided, nothing was waited for.
  return Math.max(0, ...answers.map(({ rejectsAtMs }) => rejectsAtMs - decidedAtMs));
}

async function recover(instances: readonly Instance[], calling: readonly Instance[]): Promise<void> {
  await Promise.all(instances.map((instance) => instance.ask({ kind: "recover", call: calling.includes(instance) })));
}

class Instance {
  readonly #child: ChildProcess;
  readonly #dismiss: () => void;

  constructor(child: ChildProcess) {
    this.#child = child;
    const guard = guardChild(child.pid!);
    this.#dismiss = () => guard.dismiss();
  }

  static async start(url: string, place: number): Promise<Instance> {
    const source = import.meta.url.endsWith(".ts");
    const file = fileURLToPath(
      new URL(source ? "./trip-propagation-instance.ts" : "./trip-propagation-instance.js", import.meta.url),
    );
    const execArgv = source ? ["--conditions=@holdfast/source"] : [];
    const child = fork(file, [url, String(place)], { execArgv });
    const instance = new Instance(child);
    await instance.#next();
    return instance;
  }

  async ask(order: Order): Promise<Answer> {
    this.#child.send(order);
    return await this.#next();
  }

  async close(): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
    this.#dismiss();
  }

  async #next(): Promise<Answer> {
    const ended = new AbortController();
    try {
      const [answer] = await Promise.race([
        once(this.#child, "message", { signal: ended.signal }),
        once(this.#child, "exit", { signal: ended.signal }).then(([code]) => {
          throw new Error(`an instance ended with ${code}`);
        }),
      ]);
      return answer as Answer;
    } finally {
      ended.abort();
    }
  }
}

if (import.meta.main) console.log(await run());
