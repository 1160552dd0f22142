import { createRequire } from "node:module";
import type {
  BreakerOptions,
  BreakerRegistry,
  BreakerSettingsInput,
  BreakerStore,
  CircuitBreaker,
} from "@holdfast/breaker";
import type { SharedCircuit } from "@holdfast/breaker/opossum";
import { createTarget, type Target, type TargetSettings } from "@holdfast/client";
import type { Clock, Logger, Random } from "@holdfast/core";
import type { LivePolicy, Mode, TargetPolicy } from "@holdfast/policy";
import type { OpossumBreaker, TargetPlace } from "./holdfast.ts";

const require = createRequire(import.meta.url);

export interface TargetsOptions {
  policy: LivePolicy;
  breakers: BreakerRegistry;
  /** Where the fleet's breakers meet, for those that are not of the registry. */
  store: BreakerStore | undefined;
  identity: BreakerOptions["identity"];
  /** Overrides every target's mode. */
  mode: Mode | undefined;
  logger: Logger;
  clock: Clock;
  random: Random;
}

/** A target is a service that is called; who makes names of tenants or addresses gets told. */
const MOST_TARGETS = 1_000;

interface Known {
  target: Target;
  place: string;
}

/** Targets and their breakers by name, each following the policy. */
export class Targets {
  readonly #options: TargetsOptions;
  readonly #targets = new Map<string, Known>();
  readonly #breakers = new Map<string, CircuitBreaker>();
  readonly #circuits = new Map<string, SharedCircuit>();
  readonly #unfollow: (() => void)[] = [];

  constructor(options: TargetsOptions) {
    this.#options = options;
  }

  target(name: string, place: TargetPlace): Target {
    const { policy, mode, logger, clock, random } = this.#options;
    const urls = urlsOf(name, place);
    const known = this.#targets.get(name);
    if (known) {
      if (urls && known.place !== placeOf(urls))
        throw new TypeError(
          `target "${name}" is at ${known.place || "its policy's urls"} already, not at ${placeOf(urls)}`,
        );
      return known.target;
    }
    this.#makeRoom(this.#targets, name);
    const live = policy.target(name);
    const settingsOf = (current: TargetPolicy): TargetSettings => targetSettings(current, mode, urls);
    const target = createTarget({
      name,
      ...settingsOf(live.current),
      breaker: this.breaker(name),
      fetch: place.fetch,
      logger,
      clock,
      random,
    });
    this.#unfollow.push(live.onChange((current) => target.reconfigure(settingsOf(current))));
    this.#targets.set(name, { target, place: urls ? placeOf(urls) : "" });
    return target;
  }

  breaker(name: string): CircuitBreaker {
    const { policy, breakers, mode } = this.#options;
    const known = this.#breakers.get(name);
    if (known) return known;
    this.#makeRoom(this.#breakers, name);
    const live = policy.target(name);
    const breaker = breakers.breaker(name, breakerSettings(live.current, mode));
    this.#unfollow.push(live.onChange((current) => breaker.reconfigure(breakerSettings(current, mode))));
    this.#breakers.set(name, breaker);
    return breaker;
  }

  shareCircuit(name: string, opossum: OpossumBreaker): SharedCircuit {
    if (this.#breakers.has(name) || this.#circuits.has(name))
      throw new TypeError(`target "${name}" has a breaker already`);
    this.#makeRoom(this.#circuits, name);
    const { policy, store, identity, mode, logger, clock } = this.#options;
    // Loaded when it is first needed: it brings ioredis along.
    const { shareCircuit } = require("@holdfast/breaker/opossum") as typeof import("@holdfast/breaker/opossum");
    const live = policy.target(name);
    const settings = policy.policy.targets.has(name) ? breakerSettings(live.current, mode) : { mode };
    const common = { name, store, identity, logger, clock };
    const circuit = shareCircuit(opossum as Parameters<typeof shareCircuit>[0], { ...settings, ...common });
    this.#unfollow.push(live.onChange((current) => circuit.reconfigure(breakerSettings(current, mode))));
    this.#circuits.set(name, circuit);
    return circuit;
  }

  async close(): Promise<void> {
    for (const unfollow of this.#unfollow.splice(0)) unfollow();
    await Promise.allSettled(Array.from(this.#targets.values(), ({ target }) => target.close()));
    await Promise.allSettled(Array.from(this.#circuits.values(), (circuit) => circuit.close()));
    await this.#options.breakers.close();
  }

  #makeRoom(map: ReadonlyMap<string, unknown>, name: string): void {
    if (map.size >= MOST_TARGETS)
      throw new RangeError(
        `"${name}" would be target number ${MOST_TARGETS + 1}: a target is a service, not a tenant or an address`,
      );
  }
}

export function targetSettings(
  current: TargetPolicy,
  mode: Mode | undefined,
  urls: readonly (string | URL)[] | undefined,
): TargetSettings {
  const { deadlineMs, attemptTimeoutMs, retry } = current;
  return { mode: mode ?? current.mode, deadlineMs, attemptTimeoutMs, retry: { ...retry }, urls: urls ?? current.urls };
}

export function breakerSettings(current: TargetPolicy, mode: Mode | undefined): BreakerSettingsInput {
  return { ...current.breaker, mode: mode ?? current.mode };
}

function urlsOf(name: string, { url, urls }: TargetPlace): readonly (string | URL)[] | undefined {
  if (url !== undefined && urls !== undefined) throw new TypeError(`target "${name}": give url or urls, not both`);
  return url === undefined ? urls : [url];
}

function placeOf(urls: readonly (string | URL)[]): string {
  return urls.map((url) => URL.parse(String(url))?.href ?? String(url)).join(", ");
}
