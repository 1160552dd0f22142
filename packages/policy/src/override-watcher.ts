import type { Clock, Random, Timer } from "@holdfast/core";
import type { OverrideId, Overrides } from "./override.ts";
import { overrideScope } from "./override-codec.ts";
import type { OverrideListener } from "./override-store.ts";

export interface OverrideWatcherOptions {
  /** Reads the targets in one go, in the order asked for. */
  readMany(ids: readonly OverrideId[]): Promise<readonly Overrides[]>;
  /** Mean time between two polls, in milliseconds; each is drawn from half of it to one and a half. */
  pollMs: number;
  clock: Clock;
  random: Random;
  /** A scope is watched by somebody now. */
  onScope?: ((scope: string) => void) | undefined;
  /** Nobody watches the scope any more. */
  onScopeGone?: ((scope: string) => void) | undefined;
}

interface Watch {
  readonly id: OverrideId;
  readonly listener: OverrideListener;
  /** What the listener was told last, to tell it only what differs. */
  told: string | undefined;
  /** The last look failed. */
  failed: boolean;
}

/** The part that every store's watch has in common: poll, hints, one read at a time, and who was told what. */
export class OverrideWatcher {
  readonly #options: OverrideWatcherOptions;
  readonly #scopes = new Map<string, Set<Watch>>();
  #due = new Set<string>();
  #reading = false;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: OverrideWatcherOptions) {
    this.#options = options;
  }

  watch(ids: readonly OverrideId[], listener: OverrideListener): () => void {
    if (this.#closed) return () => {};
    const watches = ids.map((id): [string, Watch] => [
      overrideScope(id),
      { id: { ...id }, listener, told: undefined, failed: false },
    ]);
    for (const [scope, watch] of watches) {
      const others = this.#scopes.get(scope);
      if (others) others.add(watch);
      else {
        this.#scopes.set(scope, new Set([watch]));
        this.#options.onScope?.(scope);
      }
      this.hint(scope);
    }
    if (!this.#timer) this.#arm();
    return () => {
      for (const [scope, watch] of watches) this.#drop(scope, watch);
    };
  }

  /** Something about the scope may have changed: reads it soon. */
  hint(scope: string): void {
    if (this.#closed || !this.#scopes.has(scope)) return;
    this.#due.add(scope);
    void this.#readDue();
  }

  /** Anything may have changed: reads everything soon. */
  hintAll(): void {
    for (const scope of this.#scopes.keys()) this.hint(scope);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#scopes.clear();
    this.#due.clear();
  }

  #drop(scope: string, watch: Watch): void {
    const watches = this.#scopes.get(scope);
    if (!watches?.delete(watch) || watches.size > 0) return;
    this.#scopes.delete(scope);
    this.#options.onScopeGone?.(scope);
    if (this.#scopes.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const { clock, random, pollMs } = this.#options;
    this.#timer = clock.after(pollMs * (0.5 + random()), () => {
      this.hintAll();
      this.#arm();
    });
  }

  async #readDue(): Promise<void> {
    // What becomes due meanwhile is read in the next round: two reads in flight could arrive in the wrong order.
    if (this.#reading) return;
    this.#reading = true;
    // A batch of one turn is one read: a service that starts names all its targets at once.
    await Promise.resolve();
    try {
      while (this.#due.size > 0) {
        const scopes = [...this.#due].filter((scope) => this.#scopes.has(scope));
        this.#due = new Set();
        if (scopes.length > 0) await this.#readScopes(scopes);
      }
    } finally {
      // A listener that throws breaks its promise; it must not end the watch.
      this.#reading = false;
    }
  }

  async #readScopes(scopes: readonly string[]): Promise<void> {
    const ids = scopes.map((scope) => [...this.#watches(scope)][0]!.id);
    let found: readonly Overrides[];
    try {
      found = await this.#options.readMany(ids);
    } catch (error) {
      for (const watch of scopes.flatMap((scope) => [...this.#watches(scope)])) {
        watch.failed = true;
        watch.listener.onError?.(error);
      }
      return;
    }
    scopes.forEach((scope, index) => {
      for (const watch of this.#watches(scope)) tell(watch, found[index]!);
    });
  }

  #watches(scope: string): ReadonlySet<Watch> {
    return this.#scopes.get(scope) ?? NOBODY;
  }
}

const NOBODY: ReadonlySet<Watch> = new Set();

function tell(watch: Watch, overrides: Overrides): void {
  const { listener, id } = watch;
  if (watch.failed) {
    watch.failed = false;
    listener.onRecovery?.();
  }
  const text = JSON.stringify([overrides.controller, overrides.operator]);
  if (text === watch.told) return;
  watch.told = text;
  listener.onChange(overrides, id);
}
