import { type Clock, HoldfastError, messageOf, numberOption, type Timer } from "@holdfast/core";
import type { HealthCheck, HealthCheckOptions } from "./lifecycle.ts";
import type { CheckReport } from "./watch/probe-verdict.ts";

/** A service has a handful; hundreds are a loop that adds one per request. */
const MOST_CHECKS = 100;
const LONGEST_REASON = 200;

interface Check {
  report: CheckReport;
  timer: Timer | null;
  running: AbortController | null;
}

/** Runs checks now and then, and remembers their last answers. */
export class HealthChecks {
  readonly #clock: Clock;
  readonly #onChange: (reports: CheckReport[]) => void;
  readonly #checks = new Map<string, Check>();

  /** @param onChange told of all reports whenever one changes */
  constructor(clock: Clock, onChange: (reports: CheckReport[]) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** @returns takes the check away */
  add(name: string, run: HealthCheck, options: HealthCheckOptions = {}): () => void {
    const everyMs = numberOption("everyMs", options.everyMs, 5_000, { min: 100 });
    const timeoutMs = numberOption("timeoutMs", options.timeoutMs, 100, { min: 1, max: 60_000 });
    if (this.#checks.has(name)) throw new RangeError(`a check named "${name}" was added already`);
    if (this.#checks.size >= MOST_CHECKS) throw new RangeError(`more than ${MOST_CHECKS} checks, "${name}" the last`);
    const report: CheckReport = { name, critical: options.critical ?? false, status: "pending" };
    const check: Check = { report, timer: null, running: null };
    this.#checks.set(name, check);
    const round = async (): Promise<void> => {
      await this.#run(check, run, timeoutMs);
      if (this.#checks.get(name) === check) check.timer = this.#clock.after(everyMs, () => void round());
    };
    this.#changed();
    void round();
    return () => {
      if (this.#checks.get(name) !== check) return;
      this.#stop(check);
      this.#checks.delete(name);
      this.#changed();
    };
  }

  close(): void {
    for (const check of this.#checks.values()) this.#stop(check);
    this.#checks.clear();
  }

  async #run(check: Check, run: HealthCheck, timeoutMs: number): Promise<void> {
    const abort = new AbortController();
    check.running = abort;
    let timer: Timer | undefined;
    const timeUp = new Promise<never>((_, reject) => {
      timer = this.#clock.after(timeoutMs, () => {
        const reason = new HoldfastError("CHECK_TIMEOUT", `no answer within ${timeoutMs} ms`);
        reject(reason);
        abort.abort(reason);
      });
    });
    let failure: string | undefined;
    try {
      const answer = await Promise.race([(async (): Promise<unknown> => run({ signal: abort.signal }))(), timeUp]);
      if (answer === false) failure = "it answered false";
    } catch (error) {
      failure = messageOf(error).slice(0, LONGEST_REASON);
    }
    timer?.cancel();
    check.running = null;
    if (this.#checks.get(check.report.name) !== check) return;
    const before = check.report;
    check.report = {
      ...before,
      status: failure === undefined ? "passing" : "failing",
      reason: failure,
      atMs: this.#clock.now(),
    };
    if (before.status !== check.report.status || before.reason !== failure) this.#changed();
  }

  #stop(check: Check): void {
    check.timer?.cancel();
    check.running?.abort();
  }

  #changed(): void {
    this.#onChange([...this.#checks.values()].map((check) => check.report));
  }
}
