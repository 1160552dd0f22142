import { createHash, timingSafeEqual } from "node:crypto";
import type { Holdfast, Logger } from "@holdfast/sdk";
import type { FastifyInstance } from "fastify";
import type { BreakerJournal } from "./breaker-journal.ts";
import type { AdminConfig } from "./config.ts";
import type { FaultPlan, Faults } from "./faults.ts";
import { webApp } from "./web-app.ts";

export interface AdminOptions {
  /** What callers must send as `Authorization: Bearer <token>`. */
  token: string;
  faults: Faults;
  /** What GET /admin/status answers. */
  status: () => unknown;
  logger: Logger;
}

const wholeUpTo = (maximum: number): object => ({ type: "integer", minimum: 0, maximum });

const faultPlanSchema = {
  type: "object",
  additionalProperties: false,
  minProperties: 1,
  properties: {
    latencyMs: wholeUpTo(60_000),
    errorRate: { type: "number", minimum: 0, maximum: 1 },
    blockMs: wholeUpTo(60_000),
    crash: { type: "boolean" },
    exhaustPool: wholeUpTo(1_000),
    ttlMs: { type: "integer", minimum: 1, maximum: 3_600_000 },
  },
};

/** Opens the admin endpoint of an instance; without a token there is none. */
export async function serveAdmin(
  hf: Holdfast,
  config: AdminConfig | undefined,
  faults: Faults,
  journal: BreakerJournal,
): Promise<void> {
  if (config === undefined) return;
  const status = (): unknown => ({
    service: hf.service,
    instance: hf.instance,
    state: hf.lifecycle.state,
    requests: faults.requests,
    breakers: journal.snapshots(),
    transitions: journal.transitions,
    policy: hf.policy.echo(),
  });
  const app = adminApp({ token: config.token, faults, status, logger: hf.log });
  // A fault that is still on must not hold up the shutdown.
  hf.onShutdown("announce", "faults", () => faults.clear());
  // Operators may look before the role is ready, and it is not this server that makes it so.
  const { port } = await hf.serve(app, { host: config.host, port: config.port, ready: false });
  hf.log.info({ port }, "admin endpoint listening");
}

/** Where operators look at an instance and harm it. It can crash the process: give it a port that only they reach. */
export function adminApp(options: AdminOptions): FastifyInstance {
  const { token, faults, status, logger } = options;
  const app = webApp(logger);

  app.addHook("onRequest", async (request, reply) => {
    if (isToken(request.headers.authorization, token)) return;
    reply.header("www-authenticate", "Bearer");
    await reply
      .code(401)
      .send({ error: "UNAUTHORIZED", message: "send the header Authorization: Bearer <ADMIN_TOKEN>" });
  });

  app.get("/admin/status", () => status());
  app.get("/admin/faults", () => faults.plan ?? {});
  app.post<{ Body: FaultPlan }>("/admin/faults", { schema: { body: faultPlanSchema } }, async (request, reply) => {
    if (request.body.exhaustPool && !faults.canExhaustPool)
      return reply.code(400).send({ error: "BAD_REQUEST", message: "exhaustPool: this role has no database pool" });
    faults.set(request.body);
    logger.warn({ faults: request.body }, "faults switched on");
    return faults.plan;
  });
  app.delete("/admin/faults", async (_request, reply) => {
    faults.clear();
    logger.warn({}, "faults switched off");
    await reply.code(204).send();
  });
  return app;
}

/** Compares digests, which have one length, in constant time: neither the token's length nor its beginning can be felt out. */
function isToken(header: string | undefined, token: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header ?? ""), digest(`Bearer ${token}`));
}
