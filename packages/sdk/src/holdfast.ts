import type { ClientOptions, Server } from "@grpc/grpc-js";

import type { CircuitBreaker } from "@holdfast/breaker";
import type { SharedCircuit } from "@holdfast/breaker/opossum";
import type { Target } from "@holdfast/client";
import type { GrpcInterceptorOptions } from "@holdfast/client/grpc";
import type { Logger } from "@holdfast/core";
import type {
  Lifecycle,
  ServableApp,
  ServeOptions,
  ShutdownHook,
  ShutdownHookOptions,
  ShutdownPhase,
} from "@holdfast/lifecycle";
import type { ServeGrpcOptions } from "@holdfast/lifecycle/grpc";
import type { X509Source } from "@holdfast/mtls";
import type { LivePolicy } from "@holdfast/policy";
import type { Telemetry } from "@holdfast/telemetry";

export interface TargetPlace {
  /** Where the target listens. Default: what the policy says. Not together with `urls`. */
  url?: string | URL | undefined;
  /** Several places: each attempt takes the next one. */
  urls?: readonly (string | URL)[] | undefined;
  /** Sends HTTP requests. Default: undici's fetch. For mutual TLS, one that @holdfast/mtls connects. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** A pool whose size may change while it works, such as pg's behind a few lines. */
export interface ResizablePool {
  /** Connections that may be open. */
  size(): number;
  /** Changes that number without dropping work in flight. */
  resize(size: number): void;
  /** Connections that carry work now. */
  inUse(): number;
  /** Callers that wait for a connection now. */
  pending(): number;
}

/** A pool that follows the policy and is measured. */
export interface TunedPool {
  /**
   * Gets a connection, and measures how long that took (`holdfast.pool.wait.duration`) and, where the result is given
   * back through `released`, how long it was held (`holdfast.pool.use.duration`).
   */
  measure<T>(acquire: () => PromiseLike<T>): Promise<T>;
  /** The connection that `measure` returned was given back. Harmless for any other value. */
  released(connection: unknown): void;
  /** Stops to follow and to measure. */
  close(): void;
}

/** Enough of an opossum breaker; versions 8 to 10 fit. */
export interface OpossumBreaker {
  readonly name: string;
  readonly opened: boolean;
  fire(...args: never[]): Promise<unknown>;
}

/** All of Holdfast in one process, wired. */
export interface Holdfast extends AsyncDisposable {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  /** JSON lines with trace ids, also exported over OTLP. Pass it on to whatever takes a pino logger. */
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly policy: LivePolicy;
  readonly telemetry: Telemetry;
  /** This process's X.509-SVID; null without the option `mtls`. */
  readonly identity: X509Source | null;
  /**
   * Something that is called over a network: deadline, budgeted retries, and a breaker that the fleet shares, all as the
   * policy says at that moment. The same object for the same name.
   *
   * @throws TypeError when the same name is asked for with another place
   */
  target(name: string, place?: TargetPlace): Target;
  /** The breaker of a target, following the policy; for what is called by other means than a target. */
  breaker(name: string): CircuitBreaker;
  /**
   * Makes an opossum breaker of your own the fleet's, and has it follow the policy of a target. Where the document does
   * not name the target, the breaker's own options stand.
   *
   * @throws TypeError when the target has a breaker already
   */
  shareCircuit(name: string, breaker: OpossumBreaker): SharedCircuit;
  /** What a @grpc/grpc-js client takes as options to be under a target: `new Client(address, credentials, options)`. */
  grpcClientOptions(name: string, options?: GrpcInterceptorOptions): ClientOptions;
  /** Has a pool follow the policy's `pool.size` of a target, live, and reports its metrics. */
  tunePool(name: string, pool: ResizablePool): TunedPool;
  /** Listens, is ready, and drains on shutdown. */
  serve(app: ServableApp, options: ServeOptions): Promise<{ port: number }>;
  /** The same for a @grpc/grpc-js server. */
  serveGrpc(server: Server, options: ServeGrpcOptions): Promise<{ port: number }>;
  /** Adds a hook to a phase of the shutdown. @returns takes it away */
  onShutdown(phase: ShutdownPhase, name: string, hook: ShutdownHook, options?: ShutdownHookOptions): () => void;
  /** Runs the shutdown without ending the process: for scripts and tests. Idempotent. */
  close(): Promise<void>;
}
