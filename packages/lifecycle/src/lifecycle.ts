import type { Server as HttpServer, RequestListener } from "node:http";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { Server as HttpsServer } from "node:https";
import type { Clock, Logger, SpanObserver, StoryAttributes, StorySink } from "@holdfast/core";
import type { DeathStory } from "./death-story.ts";
import type { LifecycleState } from "./lifecycle-state.ts";

export interface ProbeOptions {
  /** Port of the probe server. Default 9090; 0 takes any free one. */
  port?: number | undefined;
  /** Address that it listens on. Default "0.0.0.0", as the kubelet needs it. */
  host?: string | undefined;
}

export interface LifecycleOptions {
  /** The service's name: names the default state folder and stands in the probes' verbose answers. */
  service: string;
  /**
   * This instance's name. What the one instance left behind is told by the next of the same name in the same `stateDir`;
   * a random UUID stands for no name, and any instance without one is its successor. Default: a random UUID.
   */
  instance?: string | undefined;
  /** Where probes are answered; false: nowhere. Default: port 9090 on all addresses. */
  probe?: ProbeOptions | false | undefined;
  /**
   * Folder of the crash recorder; it must outlive the process, so in Kubernetes an emptyDir volume. false: no recorder.
   * Default `<tmpdir>/holdfast-<uid>/<service>`.
   */
  stateDir?: string | false | undefined;
  /**
   * What the platform grants between SIGTERM and SIGKILL, in milliseconds; a preStop hook's time counts too. Default
   * 30_000, from 2_000 to 86_400_000.
   */
  graceMs?: number | undefined;
  /** How long requests are still accepted after SIGTERM, until every balancer has heard, in milliseconds. Default 5_000, 0 or more. */
  lameDuckMs?: number | undefined;
  /** How long requests in flight may take then, in milliseconds. Default: what the grace leaves, at most 15_000. */
  drainMs?: number | undefined;
  /** How long the flush phase may take, in milliseconds. Default: what the grace leaves, at most 5_000. */
  flushMs?: number | undefined;
  /** /livez fails once the event loop has stood still this long, in milliseconds. Default 10_000, at least `readinessStallMs`. */
  livenessStallMs?: number | undefined;
  /** /readyz fails, and an incident opens, once the event loop has stood still this long, in milliseconds. Default 1_000, at least 250. */
  readinessStallMs?: number | undefined;
  /** Where shutdowns, incidents and previous deaths are told. Default: JSON lines on standard output. */
  sink?: StorySink | undefined;
  /** OpenTelemetry resource of this process; spans that a successor tells for it carry this. Default: service.name and service.instance.id. */
  resource?: StoryAttributes | undefined;
  /** Whether SIGTERM and SIGINT run the shutdown and then `exit`. Default true. */
  signals?: boolean | undefined;
  /** Ends the process after a shutdown that a signal began. Default `process.exit`. */
  exit?: ((code: number) => void) | undefined;
  logger?: Logger | undefined;
  /** Time of everything on the main thread. The probe worker has the machine's own. */
  clock?: Clock | undefined;
}

/**
 * announce: readiness is off and requests are still accepted; drain: those in flight end; flush: what they left in
 * buffers is written; release: connections and files are closed.
 */
export type ShutdownPhase = "announce" | "drain" | "flush" | "release";

export interface ShutdownHookContext {
  /** Aborts when the hook's time is up: finish by force then. */
  signal: AbortSignal;
  /** How long the hook may take from its call, in milliseconds. */
  deadlineMs: number;
}

export type ShutdownHook = (context: ShutdownHookContext) => Promise<void> | void;

export interface ShutdownHookOptions {
  /** How long this hook may take, in milliseconds. Default, and at most: its phase's budget. */
  budgetMs?: number | undefined;
}

/** Fails by throwing, by rejecting, or by returning false. */
export type HealthCheck = (context: { signal: AbortSignal }) => unknown;

export interface HealthCheckOptions {
  /** Whether its failure takes readiness away; else it only makes the instance degraded. Default false. */
  critical?: boolean | undefined;
  /** Time from the end of one run to the start of the next, in milliseconds. Default 5_000, at least 100. */
  everyMs?: number | undefined;
  /** A run that takes longer has failed, in milliseconds. Default 100, from 1 to 60_000. */
  timeoutMs?: number | undefined;
}

/** Enough of a Fastify instance; every version since 3 fits. */
export interface FastifyLike {
  readonly server: HttpServer | HttpsServer | Http2Server | Http2SecureServer;
  listen(options: { port: number; host: string }): Promise<unknown>;
  close(): PromiseLike<unknown>;
}

export type DrainableServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer;

/** A server of node:http, https or http2, a Fastify instance, or a request listener such as an Express application. */
export type ServableApp = DrainableServer | FastifyLike | RequestListener;

export interface ServeOptions {
  /** 0 takes any free one. */
  port: number;
  /** Default "0.0.0.0". */
  host?: string | undefined;
  /** Whether the instance is ready as soon as this server listens; false when more has to come up first. Default true. */
  ready?: boolean | undefined;
}

/** One process, from its start to its end. Made by `createLifecycle`. */
export interface Lifecycle extends AsyncDisposable {
  readonly state: LifecycleState;
  /** Such as `http://127.0.0.1:9090`; null with `probe: false`. */
  readonly probeUrl: string | null;
  /** Aborts when the shutdown begins: take no more work. */
  readonly signal: AbortSignal;
  /** To be told of the spans that this process has open, so that they outlive it. Cheap: two small writes a span. */
  readonly observer: SpanObserver;
  /** Starting is over. Later calls do nothing. */
  ready(): void;
  /**
   * Runs `check` now and then, never inside a probe request.
   *
   * @returns takes the check away
   * @throws RangeError when the name is taken, or an option out of range
   */
  addCheck(name: string, check: HealthCheck, options?: HealthCheckOptions): () => void;
  /** Adds a hook to a phase of the shutdown; the hooks of one phase run side by side. @returns takes it away */
  onShutdown(phase: ShutdownPhase, name: string, hook: ShutdownHook, options?: ShutdownHookOptions): () => void;
  /** The one hook that runs after release, when everything else has ended: for telemetry. A second call replaces the first. */
  setLast(name: string, hook: ShutdownHook): void;
  /**
   * Listens, drains on shutdown, and declares this instance ready.
   *
   * @throws HoldfastError "PORT_TAKEN" when the port is not free
   */
  serve(app: ServableApp, options: ServeOptions): Promise<{ port: number }>;
  /** Drains a server on shutdown that somebody else makes listen. Harmless for one that is drained already. */
  adopt(server: DrainableServer): void;
  /**
   * Runs the phases; a second call waits for the first one's end. Does not end the process: after a signal, `exit` does.
   *
   * @param trigger what asked for it, for example "SIGTERM"
   * @param options `lameDuck`: whether requests are still accepted for a while. Default true.
   */
  shutdown(trigger: string, options?: { lameDuck?: boolean | undefined }): Promise<void>;
  /**
   * Tells, once, how the previous process of this name ended: through the sink, as spans. Goes on trying in the
   * background when that fails.
   *
   * @returns the latest death; null when there is none, or when it was graceful and left nothing to tell
   * @throws HoldfastError "STORY_NOT_DELIVERED" when the sink refused the first attempt
   */
  tellPreviousDeath(): Promise<DeathStory | null>;
  /** Stops probes, checks and recorder without a shutdown: for tests and short scripts. A graceful end. */
  close(): Promise<void>;
}
