import { nameRoute } from "@holdfast/telemetry";

interface FastifyRequest {
  routeOptions?: { url?: string | undefined };
}

interface FastifyHooks {
  addHook(name: "onRequest", hook: (request: FastifyRequest, reply: unknown, done: () => void) => void): unknown;
}

/**
 * Has a Fastify instance name the route of each request, so that its server spans are `POST /checkout` and not `POST`.
 * Anything else is left as it is.
 */
export function nameFastifyRoutes(app: unknown): void {
  const fastify = app as Partial<FastifyHooks> | undefined;
  if (typeof fastify?.addHook !== "function") return;
  try {
    fastify.addHook("onRequest", (request, _reply, done) => {
      const route = request.routeOptions?.url;
      if (route !== undefined) nameRoute(route);
      done();
    });
  } catch {
    // It is ready or listening already: spans keep the method as their name.
  }
}
