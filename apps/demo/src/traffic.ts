import { randomUUID } from "node:crypto";
import { Agent, request } from "undici";

export interface TrafficOptions {
  /** Base URLs of the storefronts, called in turn. */
  urls: readonly string[];
  /** Calls a second, over all. */
  rate: number;
  /** Gives up on a call after this many milliseconds. Default 10_000. */
  timeoutMs?: number | undefined;
}

interface Call {
  /** Milliseconds since the epoch. */
  startedAtMs: number;
  durationMs: number;
  outcome: "charged" | "deferred" | "error";
  /** What went wrong, in one line. */
  problem: string | undefined;
}

/** What callers saw between two moments. */
export interface TrafficSummary {
  calls: number;
  charged: number;
  deferred: number;
  errors: number;
  p50Ms: number;
  p99Ms: number;
  /** The different problems with their counts, most frequent first. */
  problems: readonly (readonly [string, number])[];
}

/**
 * Customers who check out independently of each other (a Poisson process), whatever the answers: an open loop, since a
 * slow service does not get fewer calls in life either.
 */
export class Traffic implements AsyncDisposable {
  readonly #options: TrafficOptions;
  readonly #agent: Agent;
  readonly #calls: Call[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#agent = new Agent({ connections: 64, keepAliveTimeout: 4_000 });
  }

  start(): void {
    const { rate } = this.#options;
    const untilNext = (): number => (-Math.log(1 - Math.random()) / rate) * 1_000;
    let nextMs = performance.now() + untilNext();
    this.#timer = setInterval(() => {
      const now = performance.now();
      // A stalled driver must not come back with a burst that no customers would make.
      nextMs = Math.max(nextMs, now - 1_000);
      for (; nextMs <= now; nextMs += untilNext()) this.#send();
    }, 5);
  }

  /** Stops calling and waits for the answers. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#agent.close();
  }

  /** @param toMs calls that started before it; default: all */
  summary(fromMs: number, toMs: number = Number.POSITIVE_INFINITY): TrafficSummary {
    const calls = this.#calls.filter((call) => call.startedAtMs >= fromMs && call.startedAtMs < toMs);
    const durations = calls.map((call) => call.durationMs).sort((a, b) => a - b);
    const problems = new Map<string, number>();
    for (const { problem } of calls) if (problem) problems.set(problem, (problems.get(problem) ?? 0) + 1);
    const count = (outcome: Call["outcome"]): number => calls.filter((call) => call.outcome === outcome).length;
    return {
      calls: calls.length,
      charged: count("charged"),
      deferred: count("deferred"),
      errors: count("error"),
      p50Ms: quantile(durations, 0.5),
      p99Ms: quantile(durations, 0.99),
      problems: [...problems].sort((a, b) => b[1] - a[1]),
    };
  }

  #send(): void {
    const url = this.#options.urls[this.#sent++ % this.#options.urls.length]!;
    const call = this.#checkout(url).finally(() => this.#inFlight.delete(call));
    this.#inFlight.add(call);
  }

  async #checkout(url: string): Promise<void> {
    const startedAtMs = Date.now();
    const began = performance.now();
    const done = (outcome: Call["outcome"], problem?: string): void => {
      this.#calls.push({ startedAtMs, durationMs: performance.now() - began, outcome, problem });
    };
    try {
      const { statusCode, body } = await request(`${url}/checkout`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ orderId: randomUUID(), amountCents: 1_299 }),
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(this.#options.timeoutMs ?? 10_000),
      });
      const text = await body.text();
      if (statusCode !== 200 && statusCode !== 202) return done("error", `${statusCode} ${text.slice(0, 120)}`);
      done((JSON.parse(text) as { status?: string }).status === "DEFERRED" ? "deferred" : "charged");
    } catch (error) {
      done("error", (error as Error).message);
    }
  }
}

/** The nearest-rank quantile of sorted numbers; NaN of none. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN;
}
