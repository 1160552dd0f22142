import type { Interceptor } from "@grpc/grpc-js";
import type { Target } from "./target.ts";

export interface GrpcInterceptorOptions {
  /**
   * Which methods may be repeated after a time-out or an unclear failure, by their path such as
   * `/payments.v1.Payments/Charge`. Default none: only UNAVAILABLE, and what the server pushes back, is retried.
   */
  idempotent?: ((method: string) => boolean) | undefined;
}

/**
 * Puts the unary calls of a @grpc/grpc-js client under a target; streams pass through untouched. Give the client
 * `grpcChannelOptions` too.
 */
export function grpcInterceptor(_target: Target, _options: GrpcInterceptorOptions = {}): Interceptor {
  throw new Error("not written yet");
}
