import { HoldfastError } from "@holdfast/core";
import type { Attributes } from "@opentelemetry/api";
import { Attempt } from "./attempt.ts";
import { deadlineStorage } from "./deadline.ts";
import { errorName } from "./error-name.ts";
import type { AttemptScope, Exchange, Verdict } from "./exchange.ts";
import type { RunContext, RunOptions } from "./target.ts";

const DONE: Verdict = { outcome: "success", detail: "ok", retry: false };

/** Any function as a transport. What it calls in turn sees the attempt's deadline and becomes a child of its span. */
export class RunExchange<T> implements Exchange<T> {
  readonly repeatable: boolean;
  readonly #name: string;
  readonly #fn: (context: RunContext) => T | PromiseLike<T>;
  readonly #isFailure: ((error: unknown) => boolean) | undefined;

  constructor(name: string, fn: (context: RunContext) => T | PromiseLike<T>, options: RunOptions) {
    this.repeatable = options.idempotent ?? false;
    this.#name = name;
    this.#fn = fn;
    this.#isFailure = options.isFailure;
  }

  describe(): { name: string; attributes: Attributes } {
    return { name: `holdfast.run ${this.#name}`, attributes: {} };
  }

  send(scope: AttemptScope): Promise<T> {
    const { trace } = scope;
    return trace ? trace.inside(() => this.#call(scope)) : this.#call(scope);
  }

  async #call(scope: AttemptScope): Promise<T> {
    // A target in observe mode cuts nothing off, so it sets no deadline either.
    if (scope instanceof Attempt && scope.limitMs !== Number.POSITIVE_INFINITY) {
      return deadlineStorage.run(scope, this.#fn, scope);
    }
    return this.#fn(scope);
  }

  judge(): Verdict {
    return DONE;
  }

  judgeError(error: unknown): Verdict {
    const detail = errorName(error);
    // Another target, called in here, refused: that says nothing about this one.
    if (HoldfastError.is(error) && error.code === "BREAKER_OPEN") {
      return { outcome: "rejected", detail, retry: false, errorType: detail };
    }
    const failed = this.#speaksAgainstTarget(error);
    return {
      outcome: failed ? "failure" : "success",
      detail,
      retry: failed && this.repeatable,
      errorType: detail,
    };
  }

  errorFor(error: unknown): unknown {
    return error;
  }

  #speaksAgainstTarget(error: unknown): boolean {
    if (!this.#isFailure) return true;
    try {
      return this.#isFailure(error);
    } catch {
      // The caller must get the function's error, not that of its judge.
      return true;
    }
  }
}
