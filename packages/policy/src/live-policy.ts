import { type Clock, type Logger, messageOf, rateLimitedLogger, silentLogger, systemClock } from "@holdfast/core";
import { FollowedTarget } from "./followed-target.ts";
import type { EchoRow, LiveTarget } from "./live-target.ts";
import type { OverrideStore } from "./override-store.ts";
import type { Policy } from "./policy.ts";

export interface LivePolicyOptions {
  policy: Policy;
  /** The calling service: overrides are made for one caller's view of a target. */
  service: string;
  /** Default: the document's. */
  namespace?: string | undefined;
  /** Default: none, the document is all there is. Not closed with the live policy. */
  store?: OverrideStore | undefined;
  logger?: Logger | undefined;
  clock?: Clock | undefined;
}

/** A policy that follows its overrides while the service runs. */
export interface LivePolicy extends AsyncDisposable {
  /** The document in force. */
  readonly policy: Policy;
  /** Whether the store answered at the last look. False without a store. */
  readonly connected: boolean;
  /** Starts to follow the target's overrides at its first mention; the same object for the same name. */
  target(name: string): LiveTarget;
  /** What this instance runs, for its metrics. */
  echo(): EchoRow[];
  /** Puts another document below the overrides; every target is decided anew. */
  replace(policy: Policy): void;
  /** Stops following. `current` stays what it is. Does not close the store. */
  close(): Promise<void>;
}

/** Names come from the user's code, which may make them of anything. Beyond this a target has the document's values only. */
const MOST_TARGETS = 1_000;

/** Follows the overrides of the targets that are asked for, from layer to layer: document, controller, operator. */
export function livePolicy(options: LivePolicyOptions): LivePolicy {
  return new FollowedPolicy(options);
}

class FollowedPolicy implements LivePolicy {
  readonly #service: string;
  readonly #namespace: string;
  readonly #store: OverrideStore | undefined;
  readonly #logger: Logger;
  readonly #limited: Logger;
  readonly #clock: Clock;
  readonly #targets = new Map<string, FollowedTarget>();
  readonly #unfollow: (() => void)[] = [];
  #policy: Policy;
  #documents = 1;
  #connected = false;
  #reachable = true;
  #closed = false;

  constructor(options: LivePolicyOptions) {
    const {
      policy,
      service,
      namespace = policy.namespace,
      store,
      logger = silentLogger,
      clock = systemClock,
    } = options;
    this.#policy = policy;
    this.#service = service;
    this.#namespace = namespace;
    this.#store = store;
    this.#logger = logger;
    this.#limited = rateLimitedLogger(logger, { clock });
    this.#clock = clock;
  }

  get policy(): Policy {
    return this.#policy;
  }

  get connected(): boolean {
    return this.#connected;
  }

  target(name: string): LiveTarget {
    const known = this.#targets.get(name);
    if (known) return known;
    const target = new FollowedTarget(this.#policy.target(name), this.#documents, this.#clock, this.#limited);
    if (this.#targets.size >= MOST_TARGETS) {
      this.#limited.warn({ target: name, most: MOST_TARGETS }, "too many targets: this one does not follow overrides");
      return target;
    }
    this.#targets.set(name, target);
    this.#follow(name, target);
    return target;
  }

  echo(): EchoRow[] {
    return [...this.#targets.values()].map((target) => target.echo());
  }

  replace(policy: Policy): void {
    this.#policy = policy;
    this.#documents++;
    for (const [name, target] of this.#targets) target.rebase(policy.target(name), this.#documents);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#connected = false;
    for (const unfollow of this.#unfollow.splice(0)) unfollow();
    for (const target of this.#targets.values()) target.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #follow(name: string, target: FollowedTarget): void {
    if (!this.#store || this.#closed) return;
    const id = { namespace: this.#namespace, service: this.#service, target: name };
    this.#unfollow.push(
      this.#store.watch([id], {
        onChange: (overrides) => {
          this.#onReachable();
          target.accept(overrides);
        },
        onError: (error) => this.#onUnreachable(error),
        onRecovery: () => this.#onReachable(),
      }),
    );
  }

  #onReachable(): void {
    if (!this.#reachable) this.#logger.info({}, "the policy store answers again");
    this.#reachable = true;
    this.#connected = !this.#closed;
  }

  #onUnreachable(error: unknown): void {
    this.#connected = false;
    if (!this.#reachable) return;
    this.#reachable = false;
    const what = "the policy store does not answer: overrides hold until they expire, new ones wait";
    this.#logger.warn({ error: messageOf(error) }, what);
  }
}
