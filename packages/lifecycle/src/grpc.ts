import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { HoldfastError, messageOf } from "@holdfast/core";
import type { Lifecycle } from "./lifecycle.ts";

export interface ServeGrpcOptions {
  /** Such as "0.0.0.0:50051"; port 0 takes any free one. */
  address: string;
  /** Default: insecure. */
  credentials?: ServerCredentials | undefined;
  /** Whether the instance is ready as soon as this server listens. Default true. */
  ready?: boolean | undefined;
}

/**
 * Binds a gRPC server and drains it on shutdown: its clients are told to go elsewhere (GOAWAY), calls in flight end, and
 * what has not ended when the budget is spent is cut.
 *
 * @returns the port that it listens on; 0 for a socket file
 * @throws HoldfastError "GRPC_BIND_FAILED" naming the address
 */
export async function serveGrpc(
  lifecycle: Lifecycle,
  server: Server,
  options: ServeGrpcOptions,
): Promise<{ port: number }> {
  const { address, credentials = ServerCredentials.createInsecure(), ready = true } = options;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (cause, bound) => {
      if (!cause) resolve(bound);
      else reject(new HoldfastError("GRPC_BIND_FAILED", `cannot listen on ${address}: ${messageOf(cause)}`, { cause }));
    });
  });
  // grpc-js knows the server by the port that it was given in the end.
  const bound = address.replace(/:0$/, `:${port}`);
  lifecycle.onShutdown("drain", `grpc ${bound}`, ({ signal, deadlineMs }) =>
    drainGrpc(server, bound, signal, deadlineMs),
  );
  if (ready) lifecycle.ready();
  return { port };
}

function drainGrpc(server: Server, bound: string, signal: AbortSignal, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    // tryShutdown has no deadline of its own: a stream that nobody ends would hold it for ever.
    const cut = (): void => server.forceShutdown();
    signal.addEventListener("abort", cut, { once: true });
    server.drain(bound, deadlineMs);
    server.tryShutdown(() => {
      signal.removeEventListener("abort", cut);
      resolve();
    });
  });
}
