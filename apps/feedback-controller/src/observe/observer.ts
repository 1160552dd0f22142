import { attr, type Clock, metric } from "@holdfast/core";
import type { LogRecord, PointRecord, ResourceRecord, Scalar, SpanRecord } from "../otlp/index.ts";
import { adjustedCount } from "./adjusted-count.ts";
import { BoundedMap } from "./bounded-map.ts";
import { CumulativeSeries } from "./cumulative-series.ts";
import { Edge } from "./edge.ts";
import { Fleet } from "./fleet.ts";
import { Pool } from "./pool.ts";
import { CallTally, Rolling } from "./rolling.ts";
import { TelemetryDelay } from "./telemetry-delay.ts";

export interface ObserverOptions {
  clock: Clock;
  /** What rates and quantiles are taken over, in milliseconds. */
  windowMs: number;
}

/** One service's incoming calls, by its server spans. */
export class Service {
  readonly name: string;
  readonly window: Rolling<CallTally>;
  logErrors = 0;
  usedAtMs = 0;

  constructor(name: string, windowMs: number) {
    this.name = name;
    this.window = new Rolling(windowMs, () => new CallTally());
  }
}

const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;
const SEVERITY_ERROR = 17;

const MOST_SERVICES = 500;
const MOST_EDGES = 1_000;
const MOST_SERIES = 20_000;
/** How many windows without a sign of life make something idle. */
const IDLE_WINDOWS = 30;

/** What of a resource and a span is read; the rest is passed on unread. */
export const wantedResource: ReadonlySet<string> = new Set([attr.serviceName, attr.serviceInstanceId]);
export const wantedSpan: ReadonlySet<string> = new Set([attr.target]);

const POOL_GAUGES = {
  [metric.poolSize]: "size",
  [metric.poolInUse]: "inUse",
  [metric.poolPending]: "pending",
} as const;

const wantedMetrics: ReadonlySet<string> = new Set<string>([
  ...Object.keys(POOL_GAUGES),
  metric.poolWait,
  metric.poolUse,
  metric.breakerState,
  metric.breakerRejections,
  metric.policyVersion,
  metric.policyValue,
]);

export function isWantedMetric(name: string): boolean {
  return wantedMetrics.has(name);
}

/**
 * Keeps what the laws and the people who look at them need of the telemetry: rates, failures and latencies by service
 * and by edge, pools, breakers, and who runs which version. Bounded whatever names arrive. Time is the moment of arrival.
 */
export class Observer {
  readonly windowMs: number;
  readonly delay: TelemetryDelay;
  readonly services: BoundedMap<Service>;
  readonly edges: BoundedMap<Edge>;
  readonly pools: BoundedMap<Pool>;
  readonly #fleets: BoundedMap<Fleet>;
  readonly #series: CumulativeSeries;
  readonly #clock: Clock;

  constructor({ clock, windowMs }: ObserverOptions) {
    const idleMs = windowMs * IDLE_WINDOWS;
    this.#clock = clock;
    this.windowMs = windowMs;
    this.delay = new TelemetryDelay(windowMs);
    this.services = new BoundedMap(MOST_SERVICES, idleMs);
    this.edges = new BoundedMap(MOST_EDGES, idleMs);
    this.pools = new BoundedMap(MOST_EDGES, idleMs);
    this.#fleets = new BoundedMap(MOST_SERVICES, idleMs);
    this.#series = new CumulativeSeries(MOST_SERIES, idleMs);
  }

  spans(spans: readonly SpanRecord[]): void {
    const nowMs = this.#clock.monotonic();
    const wallMs = this.#clock.now();
    for (const span of spans) {
      if (span.kind !== SERVER && span.kind !== CLIENT) continue;
      const name = serviceName(span.resource);
      if (name === undefined) continue;
      const failed = span.statusCode === ERROR;
      const weight = adjustedCount(span.traceState);
      this.delay.span(wallMs - (span.startMs + span.durationMs), nowMs);
      if (span.kind === SERVER) {
        this.#service(name, nowMs)?.window.at(nowMs).record(span.durationMs, failed, weight);
        continue;
      }
      const target = text(span.attribute(attr.target));
      if (target === undefined) continue;
      const edge = this.#edge(name, target, nowMs);
      edge?.attempt(span.durationMs, failed, weight, nowMs);
      edge?.exemplars.record(span, failed, nowMs);
    }
  }

  points(points: readonly PointRecord[]): void {
    const nowMs = this.#clock.monotonic();
    for (const point of points) {
      const service = serviceName(point.resource);
      const target = text(point.attributes.get(attr.target));
      if (service === undefined || target === undefined) continue;
      // Without an instance id all of a service's instances look like one.
      const instance = text(point.resource.attribute(attr.serviceInstanceId)) ?? "";
      const fleet = this.#fleets.use(service, nowMs, () => new Fleet());
      fleet?.seen(instance, nowMs);
      this.delay.metrics(`${service}\0${instance}`, nowMs);
      if (point.metric === metric.policyVersion) this.#echo(fleet, instance, target, point, nowMs);
      else if (point.metric === metric.policyValue)
        fleet?.value(instance, target, text(point.attributes.get("knob")) ?? "", point.value, nowMs);
      else if (point.metric === metric.breakerState)
        this.#edge(service, target, nowMs)?.breaker(instance, point.value, nowMs);
      else if (point.metric === metric.breakerRejections) this.#rejections(service, instance, target, point, nowMs);
      else this.#pool(service, instance, target, point, nowMs);
    }
  }

  logs(records: readonly LogRecord[]): void {
    const nowMs = this.#clock.monotonic();
    for (const record of records) {
      if (record.severity < SEVERITY_ERROR) continue;
      const name = serviceName(record.resource);
      const service = name === undefined ? undefined : this.#service(name, nowMs);
      if (service !== undefined) service.logErrors++;
    }
  }

  fleet(service: string): Fleet | undefined {
    return this.#fleets.get(service);
  }

  edge(service: string, target: string): Edge | undefined {
    return this.edges.get(edgeKey(service, target));
  }

  pool(service: string, target: string): Pool | undefined {
    return this.pools.get(edgeKey(service, target));
  }

  /** Names that found no place, since the start. */
  get refusedNames(): number {
    const { services, edges, pools } = this;
    return services.refused + edges.refused + pools.refused + this.#fleets.refused + this.#series.refused;
  }

  /** Forgets what has been idle for long. */
  sweep(): void {
    const nowMs = this.#clock.monotonic();
    for (const book of [this.services, this.edges, this.pools, this.#fleets]) book.sweep(nowMs);
    this.#series.sweep(nowMs);
    const idleSinceMs = nowMs - this.windowMs * IDLE_WINDOWS;
    for (const fleet of this.#fleets.values()) fleet.sweep(idleSinceMs);
    for (const pool of this.pools.values()) pool.sweep(idleSinceMs);
  }

  #service(name: string, nowMs: number): Service | undefined {
    return this.services.use(name, nowMs, () => new Service(name, this.windowMs));
  }

  #edge(service: string, target: string, nowMs: number): Edge | undefined {
    return this.edges.use(edgeKey(service, target), nowMs, () => new Edge(service, target, this.windowMs));
  }

  #echo(fleet: Fleet | undefined, instance: string, target: string, point: PointRecord, nowMs: number): void {
    if (point.attributes.get(attr.policyLayer) !== "controller") return;
    const epoch = Number(point.attributes.get(attr.policyEpoch) ?? 0);
    fleet?.echo(instance, target, { epoch, version: point.value }, nowMs);
  }

  #rejections(service: string, instance: string, target: string, point: PointRecord, nowMs: number): void {
    const increase = this.#series.increase(seriesKey(service, instance, point), point, nowMs);
    if (increase === undefined || increase.value <= 0) return;
    this.#edge(service, target, nowMs)?.rejections.at(nowMs).record(increase.value, 1);
  }

  #pool(service: string, instance: string, target: string, point: PointRecord, nowMs: number): void {
    const pool = this.pools.use(edgeKey(service, target), nowMs, () => new Pool(service, target, this.windowMs));
    if (pool === undefined) return;
    const gauge = POOL_GAUGES[point.metric as keyof typeof POOL_GAUGES];
    if (gauge !== undefined) {
      pool.gauge(instance, gauge, point.value, nowMs);
      return;
    }
    const increase = this.#series.increase(seriesKey(service, instance, point), point, nowMs);
    if (increase === undefined) return;
    if (point.metric === metric.poolWait) pool.waited(instance, increase, nowMs);
    else pool.used(instance, increase, nowMs);
  }
}

export function edgeKey(service: string, target: string): string {
  return `${service}\0${target}`;
}

function seriesKey(service: string, instance: string, point: PointRecord): string {
  let key = `${service}\0${instance}\0${point.metric}`;
  for (const [name, value] of point.attributes) key += `\0${name}=${value}`.slice(0, LONGEST_NAME);
  return key;
}

/** Longer names are garbage, and would be kept a thousand times over. */
const LONGEST_NAME = 200;

function serviceName(resource: ResourceRecord): string | undefined {
  return text(resource.attribute(attr.serviceName));
}

function text(value: Scalar | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, LONGEST_NAME) : undefined;
}
