import { GrpcInstrumentation } from "@opentelemetry/instrumentation-grpc";

const tracesItselfKey = Symbol.for("holdfast.traces-itself/1");

type Method = ((this: object, ...args: unknown[]) => unknown) & { requestStream?: boolean; responseStream?: boolean };

/** What the instrumentation does to a generated client's methods. It is not public, so nothing is certain of it. */
interface ClientPatches {
  _getPatchedClientMethods?: (grpc: unknown) => (original: Method) => Method;
}

/**
 * Marks a grpc-js interceptor that makes its own client spans of unary calls and carries the trace on, so that the
 * instrumentation does not tell every call a second time.
 *
 * @param active asked at each call
 */
export function tracesItself<Interceptor extends object>(interceptor: Interceptor, active: () => boolean): Interceptor {
  return Object.defineProperty(interceptor, tracesItselfKey, { value: active });
}

/** grpc-js's instrumentation, which leaves calls alone that an interceptor traces itself. */
export function grpcInstrumentation(): GrpcInstrumentation {
  const instrumentation = new GrpcInstrumentation();
  const patches = instrumentation as unknown as ClientPatches;
  const getPatched = patches._getPatchedClientMethods;
  // Without that seam in some later version calls under a target have two client spans again, and nothing worse.
  if (typeof getPatched !== "function") return instrumentation;
  patches._getPatchedClientMethods = (grpc) => {
    const patch = getPatched.call(instrumentation, grpc);
    return (original) => {
      const patched = patch(original);
      if (original.requestStream || original.responseStream) return patched;
      return Object.assign(function call(this: object, ...args: unknown[]): unknown {
        return (isTraced(this) ? original : patched).apply(this, args);
      }, patched);
    };
  };
  return instrumentation;
}

/** grpc-js keeps a client's interceptors under a symbol of its own. */
function isTraced(client: object): boolean {
  return Object.getOwnPropertySymbols(client).some((key) => {
    const value = (client as Record<symbol, unknown>)[key];
    return (
      Array.isArray(value) &&
      value.some((each: Record<symbol, unknown>) => (each?.[tracesItselfKey] as (() => boolean) | undefined)?.())
    );
  });
}
