import {
  type Clock,
  type Logger,
  numberOption,
  type Random,
  silentLogger,
  systemClock,
  systemRandom,
  wordOption,
} from "@holdfast/core";
import { type Backoff, fullJitter } from "./backoff.ts";
import type { BreakerGate } from "./breaker-gate.ts";

/**
 * `enforce`: every protection acts. `observe`: nothing changes for the caller, and what would have been refused, cut off
 * or retried is counted and shown on the spans. `off`: the transport alone, without spans or metrics of this package.
 */
export type Mode = "enforce" | "observe" | "off";

/** What a target needs of a fetch. The global one and undici's are such. */
export type HttpFetch = (url: URL, init: RequestInit) => Promise<Response>;

export interface RetryOptions {
  /** Attempts of one call, the first included. Default 3, from 1 to 20; 1 never retries. */
  maxAttempts?: number | undefined;
  /** Ceiling of the first wait, in milliseconds. Default 50, from 1 to 60_000. */
  baseDelayMs?: number | undefined;
  /** Ceiling of every wait, in milliseconds. Default 1_000 or `baseDelayMs` if that is more, from `baseDelayMs` to 600_000. */
  maxDelayMs?: number | undefined;
  /** Retries allowed as a share of the calls of the last ten seconds. Default 0.2, from 0 to 1. */
  budgetRatio?: number | undefined;
  /** Retries a second that are allowed however few calls there are. Default 10, from 0 to 10_000. */
  minRetriesPerSecond?: number | undefined;
}

/** What may be changed while a target is in use. Calls in flight finish on the settings they began with. */
export interface TargetSettings {
  /** Default "observe". */
  mode?: Mode | undefined;
  /**
   * For a whole call in milliseconds: every attempt, the waits between them, and reading the body. Default 10_000, from
   * 1 to 3_600_000.
   */
  deadlineMs?: number | undefined;
  /** For one attempt up to the answer's head, in milliseconds. Default 2_000, from 1 to 3_600_000. */
  attemptTimeoutMs?: number | undefined;
  retry?: RetryOptions | undefined;
  /**
   * Where the target listens, such as `http://ledger:8080/api`: each attempt takes the next one. A path is kept in front
   * of the call's own. Default none: then `fetch` needs whole addresses.
   */
  urls?: readonly (string | URL)[] | undefined;
}

export interface TargetOptions extends TargetSettings {
  /** Its name in the policy, on spans and on metrics. */
  name: string;
  /** The gate that every attempt passes. Default null: none. */
  breaker?: BreakerGate | null | undefined;
  /** Sends HTTP requests. Default: undici's fetch, on a connection pool that belongs to the target and closes with it. */
  fetch?: HttpFetch | undefined;
  /** Told, not more than every ten seconds, that the retry budget is spent. Default: says nothing. */
  logger?: Logger | undefined;
  clock?: Clock | undefined;
  random?: Random | undefined;
}

export interface ResolvedRetry {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly budgetRatio: number;
  readonly minRetriesPerSecond: number;
}

export interface ResolvedSettings {
  readonly mode: Mode;
  readonly deadlineMs: number;
  readonly attemptTimeoutMs: number;
  readonly retry: ResolvedRetry;
  readonly backoff: Backoff;
  readonly urls: readonly URL[];
}

const LONGEST_CALL_MS = 3_600_000;

/**
 * Checks settings and fills in what is absent: from `previous` when there is one, else from the defaults.
 *
 * @throws TypeError or RangeError naming the option and the value
 */
export function resolveSettings(settings: TargetSettings, previous?: ResolvedSettings): ResolvedSettings {
  const retry = resolveRetry(settings.retry ?? {}, previous?.retry);
  return Object.freeze({
    mode: wordOption("mode", settings.mode, previous?.mode ?? "observe", ["enforce", "observe", "off"]),
    deadlineMs: numberOption("deadlineMs", settings.deadlineMs, previous?.deadlineMs ?? 10_000, {
      min: 1,
      max: LONGEST_CALL_MS,
    }),
    attemptTimeoutMs: numberOption("attemptTimeoutMs", settings.attemptTimeoutMs, previous?.attemptTimeoutMs ?? 2_000, {
      min: 1,
      max: LONGEST_CALL_MS,
    }),
    retry,
    backoff: fullJitter({ baseMs: retry.baseDelayMs, maxMs: retry.maxDelayMs }),
    urls: settings.urls === undefined ? (previous?.urls ?? []) : settings.urls.map(resolveUrl),
  });
}

function resolveRetry(retry: RetryOptions, previous?: ResolvedRetry): ResolvedRetry {
  const baseDelayMs = numberOption("retry.baseDelayMs", retry.baseDelayMs, previous?.baseDelayMs ?? 50, {
    min: 1,
    max: 60_000,
  });
  return Object.freeze({
    maxAttempts: numberOption("retry.maxAttempts", retry.maxAttempts, previous?.maxAttempts ?? 3, {
      min: 1,
      max: 20,
      integer: true,
    }),
    baseDelayMs,
    maxDelayMs: numberOption(
      "retry.maxDelayMs",
      retry.maxDelayMs,
      Math.max(previous?.maxDelayMs ?? 1_000, baseDelayMs),
      {
        min: baseDelayMs,
        max: 600_000,
      },
    ),
    budgetRatio: numberOption("retry.budgetRatio", retry.budgetRatio, previous?.budgetRatio ?? 0.2, { min: 0, max: 1 }),
    minRetriesPerSecond: numberOption(
      "retry.minRetriesPerSecond",
      retry.minRetriesPerSecond,
      previous?.minRetriesPerSecond ?? 10,
      { min: 0, max: 10_000 },
    ),
  });
}

function resolveUrl(value: string | URL, index: number): URL {
  const url = URL.parse(String(value));
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new TypeError(`urls[${index}] must be an http or https address, not ${JSON.stringify(String(value))}`);
  }
  return url;
}

export interface ResolvedTarget {
  readonly name: string;
  readonly breaker: BreakerGate | null;
  readonly fetch: HttpFetch | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

export function resolveTarget(options: TargetOptions): ResolvedTarget {
  if (typeof options.name !== "string" || options.name === "") {
    throw new TypeError(`name must be a string that is not empty, not ${JSON.stringify(options.name)}`);
  }
  const { name, breaker = null, fetch, logger = silentLogger, clock = systemClock, random = systemRandom } = options;
  return { name, breaker, fetch, logger, clock, random };
}
