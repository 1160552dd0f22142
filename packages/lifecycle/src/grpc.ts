import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Lifecycle } from "./lifecycle.ts";

export interface ServeGrpcOptions {
  /** Such as "0.0.0.0:50051"; port 0 takes any free one. */
  address: string;
  /** Default: insecure. */
  credentials?: ServerCredentials | undefined;
  /** Whether the instance is ready as soon as this server listens. Default true. */
  ready?: boolean | undefined;
}

export declare function serveGrpc(
  lifecycle: Lifecycle,
  server: Server,
  options: ServeGrpcOptions,
): Promise<{ port: number }>;
