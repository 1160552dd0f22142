import { AsyncLocalStorage } from "node:async_hooks";
import { type Clock, numberOption, processGlobal, systemClock } from "@holdfast/core";

/** The deadline that the running code is under. Asked of the clock that it was set by. */
export interface DeadlineScope {
  /** Milliseconds left; below 0 when it has passed. */
  remainingMs(): number;
}

/** One for all copies of the package, so that a deadline crosses from one to the other. */
export const deadlineStorage: AsyncLocalStorage<DeadlineScope | undefined> = processGlobal(
  "deadline",
  1,
  () => new AsyncLocalStorage<DeadlineScope | undefined>(),
);

export interface DeadlineOptions {
  clock?: Clock | undefined;
}

/**
 * Runs `fn` under a deadline: every call that a target in `enforce` mode makes in it ends by then, and tells the next
 * service how much time is left. A deadline within another only ever shrinks. What is not a target's call is not cut off.
 *
 * @param deadlineMs from now, in milliseconds, 0 or more
 * @returns what `fn` returns
 */
export function withDeadline<T>(deadlineMs: number, fn: () => T, options: DeadlineOptions = {}): T {
  const { clock = systemClock } = options;
  const ownMs = numberOption("deadlineMs", deadlineMs, 0, { min: 0 });
  return deadlineStorage.run(shrunkScope(ownMs, clock, deadlineStorage.getStore()), fn);
}

/** Runs `fn` outside the deadline of the request that it is called in: for work that goes on after the answer. */
export function detach<T>(fn: () => T): T {
  return deadlineStorage.run(undefined, fn);
}

/** Milliseconds left of the deadline that the caller is under, 0 when it has passed; undefined without one. */
export function remainingDeadlineMs(): number | undefined {
  const scope = deadlineStorage.getStore();
  return scope && Math.max(0, scope.remainingMs());
}

/** A scope that ends in `ownMs`, or with the outer one if that is sooner. */
export function shrunkScope(ownMs: number, clock: Clock, outer: DeadlineScope | undefined): DeadlineScope {
  const endsAt = clock.monotonic() + Math.min(ownMs, outer?.remainingMs() ?? Number.POSITIVE_INFINITY);
  return { remainingMs: () => endsAt - clock.monotonic() };
}

/** Milliseconds that are left of the whole call when the request is sent. Relative, so that clocks need not agree. */
export const DEADLINE_HEADER = "x-holdfast-deadline-ms";
/** Milliseconds that this attempt is waited for. Envoy's own header: it and its users read it. */
export const ENVOY_TIMEOUT_HEADER = "x-envoy-expected-rq-timeout-ms";

/** Node's headers, or fetch's. */
export type HeaderSource = Readonly<Record<string, string | readonly string[] | undefined>> | Pick<Headers, "get">;

export interface DeadlineFromHeadersOptions {
  /** The longest that a caller may ask for, in milliseconds: what it says beyond is clamped. Default 3_600_000. */
  maxMs?: number | undefined;
}

/**
 * How long the caller of this server is going to wait, in milliseconds: its `x-holdfast-deadline-ms`, else
 * `x-envoy-expected-rq-timeout-ms`. Undefined when it says nothing that can be read.
 */
export function deadlineFromHeaders(
  headers: HeaderSource,
  options: DeadlineFromHeadersOptions = {},
): number | undefined {
  const maxMs = numberOption("maxMs", options.maxMs, 3_600_000, { min: 1 });
  for (const name of [DEADLINE_HEADER, ENVOY_TIMEOUT_HEADER]) {
    const text = headerOf(headers, name);
    // Number() would read "0x10", "1e9" and "" as well.
    if (text !== undefined && /^\d{1,15}$/.test(text)) return Math.min(Number(text), maxMs);
  }
  return undefined;
}

function headerOf(headers: HeaderSource, name: string): string | undefined {
  if (typeof headers.get === "function") return (headers as Pick<Headers, "get">).get(name) ?? undefined;
  const value = (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name];
  return typeof value === "object" ? value[0] : value;
}
