import { attr, metric } from "@holdfast/core";
import type { OverrideStore, Tunable } from "@holdfast/policy";
import type { TestClock } from "@holdfast/testkit";
import { isWantedMetric, type Observer, wantedResource, wantedSpan } from "../observe/observer.ts";
import { scanMetrics, scanTraces } from "../otlp/index.ts";
import { metricsRequest, type TestPoint, type TestSpan, tracesRequest } from "./otlp-writer.ts";

export interface FleetBehaviour {
  service: string;
  target: string;
  instances: readonly string[];
  /** Calls a second of the whole fleet. */
  callsPerSecond: number;
  /** Of every hundred calls, how many fail. */
  failuresPerHundred: number;
  latencyMs: number;
  /** 0 closed, 1 half-open, 2 open. */
  breaker: number;
  /** Instances that follow what the store says; the others stay on what they had. */
  following: readonly string[];
  pool?: { size: number; callsPerSecond: number; waitMs: number; useMs: number } | undefined;
}

const wanted = { resource: wantedResource, span: wantedSpan, metric: isWantedMetric };

/** Instances of one service as the controller sees them: only through the OTLP that they would send. */
export class TestFleet {
  readonly behaviour: FleetBehaviour;
  readonly #observer: Observer;
  readonly #store: OverrideStore;
  readonly #clock: TestClock;
  readonly #running = new Map<string, { epoch: number; version: number; values: Partial<Record<Tunable, number>> }>();
  #calls = 0;
  #poolCalls = 0;
  #poolWaitS = 0;
  #poolUseS = 0;

  constructor(behaviour: FleetBehaviour, observer: Observer, store: OverrideStore, clock: TestClock) {
    this.behaviour = behaviour;
    this.#observer = observer;
    this.#store = store;
    this.#clock = clock;
  }

  /** What an instance runs of the controller's layer. */
  running(instance: string): Partial<Record<Tunable, number>> {
    return this.#running.get(instance)?.values ?? {};
  }

  /** One second of traffic and one export of metrics. */
  async second(): Promise<void> {
    this.#spans();
    for (const instance of this.behaviour.following) await this.#follow(instance);
    this.#use();
    for (const instance of this.behaviour.instances) this.#metrics(instance);
  }

  /** Each instance's share of a second of work on the pool. */
  #use(): void {
    const { pool, instances } = this.behaviour;
    if (pool === undefined) return;
    const calls = pool.callsPerSecond / instances.length;
    this.#poolCalls += calls;
    this.#poolWaitS += (calls * pool.waitMs) / 1_000;
    this.#poolUseS += (calls * pool.useMs) / 1_000;
  }

  #spans(): void {
    const { service, target, callsPerSecond, failuresPerHundred, latencyMs } = this.behaviour;
    const spans: TestSpan[] = [];
    for (let i = 0; i < callsPerSecond; i++) {
      const failed = (this.#calls++ * 37) % 100 < failuresPerHundred;
      spans.push({
        kind: 3,
        startMs: this.#clock.now() - latencyMs,
        durationMs: latencyMs,
        status: failed ? 2 : 0,
        attributes: { [attr.target]: target },
      });
    }
    this.#observer.spans(scanTraces(tracesRequest({ [attr.serviceName]: service }, spans), wanted).records);
  }

  async #follow(instance: string): Promise<void> {
    const { service, target } = this.behaviour;
    const { controller } = await this.#store.read({ namespace: "test", service, target });
    if (controller === undefined) return;
    const { epoch, version, values, deleted } = controller;
    if (deleted === true) this.#running.delete(instance);
    else this.#running.set(instance, { epoch, version, values });
  }

  #metrics(instance: string): void {
    const { service, target, breaker, pool } = this.behaviour;
    const attributes = { [attr.target]: target };
    const points: TestPoint[] = [{ metric: metric.breakerState, value: breaker, attributes }];
    const running = this.#running.get(instance);
    if (running !== undefined)
      points.push({
        metric: metric.policyVersion,
        value: running.version,
        attributes: { ...attributes, [attr.policyLayer]: "controller", [attr.policyEpoch]: running.epoch },
      });
    if (pool !== undefined) {
      const timeMs = this.#clock.now();
      const histogram = { kind: "histogram" as const, count: Math.round(this.#poolCalls), timeMs, attributes };
      points.push(
        { metric: metric.poolSize, value: running?.values["pool.size"] ?? pool.size, attributes },
        { metric: metric.poolWait, value: this.#poolWaitS, ...histogram },
        { metric: metric.poolUse, value: this.#poolUseS, ...histogram },
      );
    }
    const resource = { [attr.serviceName]: service, [attr.serviceInstanceId]: instance };
    this.#observer.points(scanMetrics(metricsRequest(resource, points), wanted).records);
  }
}
