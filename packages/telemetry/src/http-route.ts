import { context } from "@opentelemetry/api";
import { getRPCMetadata, RPCType } from "@opentelemetry/core";

/**
 * Names the route that the request in hand matched, such as `/orders/:id`: for the server span's name, its `http.route`
 * and the server's metrics. Does nothing outside of a traced request.
 */
export function nameRoute(route: string): void {
  const request = getRPCMetadata(context.active());
  if (request?.type === RPCType.HTTP) request.route = route;
}
