import type { ClientOptions, Server } from "@grpc/grpc-js";
import type { CircuitBreaker } from "@holdfast/breaker";
import type { SharedCircuit } from "@holdfast/breaker/opossum";
import type { Target } from "@holdfast/client";
import type { GrpcInterceptorOptions } from "@holdfast/client/grpc";
import { attr, type Logger } from "@holdfast/core";
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
import { type Telemetry, tracesItself } from "@holdfast/telemetry";
import { nameFastifyRoutes } from "./fastify-routes.ts";
import { grpcModules } from "./grpc-modules.ts";
import type { Holdfast, OpossumBreaker, ResizablePool, TargetPlace, TunedPool } from "./holdfast.ts";
import type { Targets } from "./targets.ts";
import type { TunedPools } from "./tuned-pools.ts";

export interface WiredParts {
  service: string;
  namespace: string;
  log: Logger;
  lifecycle: Lifecycle;
  policy: LivePolicy;
  telemetry: Telemetry;
  identity: X509Source | null;
  targets: Targets;
  pools: TunedPools;
}

export class WiredHoldfast implements Holdfast {
  readonly service: string;
  readonly namespace: string;
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly policy: LivePolicy;
  readonly telemetry: Telemetry;
  readonly identity: X509Source | null;
  readonly #targets: Targets;
  readonly #pools: TunedPools;

  constructor(parts: WiredParts) {
    this.service = parts.service;
    this.namespace = parts.namespace;
    this.log = parts.log;
    this.lifecycle = parts.lifecycle;
    this.policy = parts.policy;
    this.telemetry = parts.telemetry;
    this.identity = parts.identity;
    this.#targets = parts.targets;
    this.#pools = parts.pools;
  }

  get instance(): string {
    return String(this.telemetry.resource[attr.serviceInstanceId]);
  }

  target(name: string, place: TargetPlace = {}): Target {
    return this.#targets.target(name, place);
  }

  breaker(name: string): CircuitBreaker {
    return this.#targets.breaker(name);
  }

  shareCircuit(name: string, breaker: OpossumBreaker): SharedCircuit {
    return this.#targets.shareCircuit(name, breaker);
  }

  grpcClientOptions(name: string, options?: GrpcInterceptorOptions): ClientOptions {
    const { grpcInterceptor, grpcChannelOptions } = grpcModules.client();
    const target = this.target(name);
    const interceptor = tracesItself(grpcInterceptor(target, options), () => target.mode !== "off");
    return { ...grpcChannelOptions, interceptors: [interceptor] };
  }

  tunePool(name: string, pool: ResizablePool): TunedPool {
    return this.#pools.tune(name, pool);
  }

  serve(app: ServableApp, options: ServeOptions): Promise<{ port: number }> {
    nameFastifyRoutes(app);
    return this.lifecycle.serve(app, options);
  }

  serveGrpc(server: Server, options: ServeGrpcOptions): Promise<{ port: number }> {
    return grpcModules.lifecycle().serveGrpc(this.lifecycle, server, options);
  }

  onShutdown(phase: ShutdownPhase, name: string, hook: ShutdownHook, options?: ShutdownHookOptions): () => void {
    return this.lifecycle.onShutdown(phase, name, hook, options);
  }

  close(): Promise<void> {
    return this.lifecycle.shutdown("close", { lameDuck: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
