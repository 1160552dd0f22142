/** The controller's layer of one target as an instance says that it runs it. */
export interface Echo {
  epoch: number;
  version: number;
}

interface Instance {
  seenAtMs: number;
  /** By target. */
  readonly echoes: Map<string, Echo & { atMs: number }>;
  /** By target and knob. */
  readonly values: Map<string, { value: number; atMs: number }>;
}

/** Instances of one service that are told apart, and targets of one instance. */
const MOST_INSTANCES = 1_000;
const MOST_TARGETS = 200;

/** The instances of one service that are alive, by their metrics, and what they say they run. */
export class Fleet {
  usedAtMs = 0;
  readonly #instances = new Map<string, Instance>();

  /** Any metric of an instance is a sign of life. */
  seen(name: string, nowMs: number): void {
    const instance = this.#instances.get(name);
    if (instance !== undefined) instance.seenAtMs = nowMs;
    else if (this.#instances.size < MOST_INSTANCES)
      this.#instances.set(name, { seenAtMs: nowMs, echoes: new Map(), values: new Map() });
  }

  echo(name: string, target: string, echo: Echo, nowMs: number): void {
    const echoes = this.#instances.get(name)?.echoes;
    if (echoes === undefined || (echoes.size >= MOST_TARGETS && !echoes.has(target))) return;
    const known = echoes.get(target);
    // One export may still hold the series of the version before: within an instance the newest counts.
    if (known !== undefined && known.atMs === nowMs && !isNewer(echo, known)) return;
    echoes.set(target, { ...echo, atMs: nowMs });
  }

  value(name: string, target: string, knob: string, value: number, nowMs: number): void {
    const values = this.#instances.get(name)?.values;
    const key = `${target}\0${knob}`;
    if (values === undefined || (values.size >= MOST_TARGETS && !values.has(key))) return;
    values.set(key, { value, atMs: nowMs });
  }

  /** How many instances showed themselves since `sinceMs`. */
  live(sinceMs: number): number {
    let count = 0;
    for (const { seenAtMs } of this.#instances.values()) if (seenAtMs >= sinceMs) count++;
    return count;
  }

  /** Forgets the instances that were last seen before `sinceMs`. */
  sweep(sinceMs: number): void {
    for (const [name, { seenAtMs }] of this.#instances) if (seenAtMs < sinceMs) this.#instances.delete(name);
  }

  /** How many live instances run this version of the target's controller layer, or a later one. */
  echoing(target: string, wanted: Echo, sinceMs: number): number {
    let count = 0;
    for (const { seenAtMs, echoes } of this.#instances.values()) {
      const echo = echoes.get(target);
      if (seenAtMs >= sinceMs && echo !== undefined && echo.atMs >= sinceMs && !isNewer(wanted, echo)) count++;
    }
    return count;
  }

  /** What live instances say a knob's value is, each value with how many say so. */
  values(target: string, knob: string, sinceMs: number): Map<number, number> {
    const counts = new Map<number, number>();
    for (const { values } of this.#instances.values()) {
      const held = values.get(`${target}\0${knob}`);
      if (held !== undefined && held.atMs >= sinceMs) counts.set(held.value, (counts.get(held.value) ?? 0) + 1);
    }
    return counts;
  }
}

function isNewer(one: Echo, than: Echo): boolean {
  return one.epoch > than.epoch || (one.epoch === than.epoch && one.version > than.version);
}
