import type { Logger } from "@holdfast/sdk";
import Fastify, { type FastifyInstance } from "fastify";
import { answerTo } from "./answer.ts";
import type { Faults } from "./faults.ts";

/**
 * A Fastify that bounds what strangers may send and answers every error as `{ error, message }`.
 *
 * @param faults every request passes through it before its handler
 */
export function webApp(logger: Logger, faults?: Faults): FastifyInstance {
  const app = Fastify({
    bodyLimit: 16 * 1024,
    requestTimeout: 10_000,
    // By default a schema would turn "12" into 12 and drop what it does not know. A wrong request is better told so.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  if (faults) app.addHook("preHandler", () => faults.inject());
  app.setNotFoundHandler(async (_request, reply) => {
    await reply.code(404).send({ error: "NOT_FOUND", message: "there is nothing here" });
  });
  app.setErrorHandler(async (error, request, reply) => {
    const { status, retryAfterMs, ...body } = answerTo(error);
    if (status >= 500) logger.warn({ route: request.routeOptions.url, status, error }, "request failed");
    if (retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(retryAfterMs / 1_000));
    await reply.code(status).send(body);
  });
  return app;
}
