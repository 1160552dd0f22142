import type { Increase } from "./cumulative-series.ts";
import { MeanTally, Rolling } from "./rolling.ts";

interface Member {
  size: number;
  inUse: number;
  pending: number;
  atMs: number;
  readonly wait: Rolling<MeanTally>;
  readonly use: Rolling<MeanTally>;
}

/** What one instance's pool looks like over the window. */
export interface PoolMember {
  instance: string;
  size: number;
  inUse: number;
  pending: number;
  /** Connections handed out in the window. */
  waits: number;
  waitMeanMs: number;
  /** Connections given back in the window. */
  uses: number;
  usesPerSecond: number;
  useMeanMs: number;
}

export type PoolGauge = "size" | "inUse" | "pending";

/** One service's pools of connections to one target, one for each of its instances. */
export class Pool {
  readonly service: string;
  readonly target: string;
  usedAtMs = 0;
  readonly #windowMs: number;
  readonly #members = new Map<string, Member>();

  constructor(service: string, target: string, windowMs: number) {
    this.service = service;
    this.target = target;
    this.#windowMs = windowMs;
  }

  gauge(instance: string, name: PoolGauge, value: number, nowMs: number): void {
    const member = this.#member(instance, nowMs);
    if (member !== undefined) member[name] = value;
  }

  /** Callers got a connection; the increase is in seconds. */
  waited(instance: string, { value, count, spanMs }: Increase, nowMs: number): void {
    this.#member(instance, nowMs)
      ?.wait.at(nowMs)
      .record(value * 1_000, count, spanMs);
  }

  /** Callers gave a connection back; the increase is in seconds. */
  used(instance: string, { value, count, spanMs }: Increase, nowMs: number): void {
    this.#member(instance, nowMs)
      ?.use.at(nowMs)
      .record(value * 1_000, count, spanMs);
  }

  /** The instances that reported since `sinceMs`. */
  members(sinceMs: number, nowMs: number): PoolMember[] {
    const members: PoolMember[] = [];
    for (const [instance, member] of this.#members) {
      if (member.atMs < sinceMs) continue;
      const wait = member.wait.total(nowMs);
      const use = member.use.total(nowMs);
      members.push({
        instance,
        size: member.size,
        inUse: member.inUse,
        pending: member.pending,
        waits: wait.count,
        waitMeanMs: wait.mean,
        uses: use.count,
        usesPerSecond: use.perSecond,
        useMeanMs: use.mean,
      });
    }
    return members;
  }

  /** Forgets the instances that last reported before `sinceMs`. */
  sweep(sinceMs: number): void {
    for (const [instance, { atMs }] of this.#members) if (atMs < sinceMs) this.#members.delete(instance);
  }

  #member(instance: string, nowMs: number): Member | undefined {
    let member = this.#members.get(instance);
    if (member === undefined) {
      if (this.#members.size >= MOST_INSTANCES) return undefined;
      member = {
        size: 0,
        inUse: 0,
        pending: 0,
        atMs: nowMs,
        wait: new Rolling(this.#windowMs, () => new MeanTally()),
        use: new Rolling(this.#windowMs, () => new MeanTally()),
      };
      this.#members.set(instance, member);
    }
    member.atMs = nowMs;
    return member;
  }
}

/** Instances of one service that are told apart. */
const MOST_INSTANCES = 1_000;
