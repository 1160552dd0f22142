import { randomBytes } from "node:crypto";

import { freePort } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { redisOverrideStore } from "../../../packages/policy/src/redis.ts";
import type { Balance } from "./entries.ts";
import { checkout, TestFleet } from "./testing/fleet.ts";
import type { LogLine, RoleProcess } from "./testing/role-process.ts";

// Real processes: each takes a second to start, and several on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let fleet: TestFleet;
let storefront: RoleProcess;
let payments: RoleProcess;
let ledger: RoleProcess;

beforeAll(async () => {
  fleet = await TestFleet.start();
  const [ledgerPort, paymentsPort] = [await freePort(), await freePort()];
  [ledger, payments, storefront] = await Promise.all([
    fleet.startRole("ledger", { PORT: `${ledgerPort}`, LEDGER_WORK_MS: "2" }),
    fleet.startRole("payments", { PORT: `${paymentsPort}`, LEDGER_URLS: `http://127.0.0.1:${ledgerPort}` }),
    fleet.startRole("storefront", { PAYMENTS_ADDRESS: `ipv4:127.0.0.1:${paymentsPort}` }),
  ]);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

function book(orderId: string, amountCents: number, at: RoleProcess = ledger): Promise<Response> {
  return fetch(`${at.url}/entries`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": orderId },
    body: JSON.stringify({ orderId, amountCents }),
  });
}

async function balance(): Promise<Balance> {
  return (await (await fetch(`${ledger.url}/balance`)).json()) as Balance;
}

describe("a checkout", () => {
  it("goes from the storefront over payments into the ledger's books", async () => {
    const before = await balance();
    const { status, body } = await checkout(storefront, { orderId: crypto.randomUUID(), amountCents: 4_200 });
    expect([status, body]).toEqual([200, expect.objectContaining({ status: "RECORDED" })]);
    expect(body.entryId).toMatch(/^\d+$/);
    const after = await balance();
    expect(after.entries - before.entries).toBe(1);
    expect(after.amountCents - before.amountCents).toBe(4_200);
    expect(after.entriesCents).toBe(after.amountCents);
  });

  it("is booked once however often it is sent", async () => {
    const before = await balance();
    const order = { orderId: crypto.randomUUID(), amountCents: 100 };
    const answers = await Promise.all(Array.from({ length: 5 }, () => checkout(storefront, order)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(answers.map(({ body }) => body.entryId)).size).toBe(1);
    expect((await balance()).entries - before.entries).toBe(1);
  });

  it("is a conflict when it comes again with another amount", async () => {
    const orderId = crypto.randomUUID();
    await checkout(storefront, { orderId, amountCents: 100 });
    const { status, body } = await checkout(storefront, { orderId, amountCents: 101 });
    expect([status, body.error]).toEqual([409, "ALREADY_EXISTS"]);
    expect(body.message).toContain("another amount");
  });

  it.each([
    ["an amount written as text", { orderId: "a", amountCents: "12" }, "amountCents"],
    ["no id", { amountCents: 12 }, "orderId"],
    ["a field that orders do not have", { orderId: "a", amountCents: 12, discount: 5 }, "discount"],
    ["half a document", '{"orderId":', "JSON"],
    ["a list", [], "JSON object"],
  ])("is refused with 400 when it has %s", async (_what, order, why) => {
    const { status, body } = await checkout(storefront, order);
    expect(status).toBe(400);
    expect(body.message).toContain(why);
  });

  it("is refused by each role for itself", async () => {
    expect((await book("x", -1)).status).toBe(400);
    const strange = { "content-type": "application/json", "idempotency-key": "y" };
    const body = JSON.stringify({ orderId: "x", amountCents: 1 });
    expect((await fetch(`${ledger.url}/entries`, { method: "POST", headers: strange, body })).status).toBe(400);
    expect((await checkout(storefront, `"${"a".repeat(20_000)}"`)).status).toBe(413);
    expect((await fetch(`${ledger.url}/nowhere`)).status).toBe(404);
  });
});

describe("the telemetry of a checkout", () => {
  it("is one trace, joined from the storefront to the database", async () => {
    const traceId = randomBytes(16).toString("hex");
    const callerSpanId = randomBytes(8).toString("hex");
    await checkout(storefront, undefined, { traceparent: `00-${traceId}-${callerSpanId}-01` });

    const trace = () => fleet.receiver.spans.filter((span) => span.traceId === traceId);
    const serviceOf = (span: { resource: Record<string, unknown> } | undefined) => span?.resource["service.name"];
    const servers = () => trace().filter(({ kind }) => kind === "server");
    const isSql = (attributes: Record<string, unknown>) =>
      (attributes["db.system.name"] ?? attributes["db.system"]) === "postgresql";
    await fleet.receiver.until(
      () =>
        servers().length === 3 &&
        trace().some((span) =>
          String(span.attributes["db.query.text"] ?? span.attributes["db.statement"]).startsWith("COMMIT"),
        ),
    );

    const byId = new Map(trace().map((span) => [span.spanId, span]));
    // Every span but the storefront's own has its parent in the trace: none was lost between two processes.
    const roots = trace().filter((span) => !byId.has(span.parentSpanId));
    expect(roots.map((span) => [serviceOf(span), span.kind, span.parentSpanId])).toEqual([
      ["storefront", "server", callerSpanId],
    ]);
    for (const [caller, callee] of [
      ["storefront", "payments"],
      ["payments", "ledger"],
    ]) {
      const server = servers().find((span) => serviceOf(span) === callee)!;
      const client = byId.get(server.parentSpanId)!;
      expect([serviceOf(client), client.kind]).toEqual([caller, "client"]);
      expect(client.attributes["holdfast.target"]).toBe(callee);
    }
    const statements = trace().filter((span) => serviceOf(span) === "ledger" && isSql(span.attributes));
    expect(statements.length).toBeGreaterThanOrEqual(4);
    expect(new Set(trace().map(serviceOf))).toEqual(new Set(["storefront", "payments", "ledger"]));
  });
});

describe("an instance's admin endpoint", () => {
  it("shows breakers, policy and requests to who has the token, and nothing to others", async () => {
    const status = (await (await payments.admin("GET", "/admin/status")).json()) as Record<string, unknown>;
    expect(status).toMatchObject({
      service: "payments",
      breakers: [{ name: "ledger", state: "closed" }],
      policy: [expect.objectContaining({ target: "ledger" })],
    });
    expect(status.requests).toBeGreaterThan(0);
    const stranger = await fetch(`${payments.adminUrl}/admin/status`);
    expect(stranger.status).toBe(401);
  });

  it("is not there without a token", async () => {
    const silent = await fleet.startRole("storefront", { PAYMENTS_ADDRESS: payments.grpcAddress, ADMIN_TOKEN: "" });
    expect(silent.adminUrl).toBeUndefined();
    expect((await checkout(silent)).status).toBe(200);
    expect((await fetch(`${silent.url}/admin/status`)).status).toBe(404);
  });
});

describe("a fault", () => {
  it("of latency holds up every request of its role", async () => {
    await ledger.admin("POST", "/admin/faults", { latencyMs: 150, ttlMs: 60_000 });
    const began = performance.now();
    expect((await checkout(storefront)).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThanOrEqual(149);
    await ledger.admin("DELETE", "/admin/faults");
  });

  it("of errors fails the requests of its role, and stops when it is taken away", async () => {
    await storefront.admin("POST", "/admin/faults", { errorRate: 1, ttlMs: 60_000 });
    const { status, body } = await checkout(storefront);
    expect([status, body.message]).toEqual([503, "injected error"]);
    await storefront.admin("DELETE", "/admin/faults");
    expect((await checkout(storefront)).status).toBe(200);
  });

  it("of a blocked event loop stops everything for a while, once", async () => {
    await storefront.admin("POST", "/admin/faults", { blockMs: 1_200 });
    const began = performance.now();
    expect((await checkout(storefront)).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThanOrEqual(1_199);
    // The probe worker saw it from outside.
    await storefront.line("the event loop stood still");
    expect(await (await storefront.admin("GET", "/admin/faults")).json()).toEqual({ blockMs: 0 });
    await storefront.admin("DELETE", "/admin/faults");
  });

  it("of an exhausted pool leaves no connection for the requests of the ledger", async () => {
    await ledger.admin("POST", "/admin/faults", { exhaustPool: 1_000, ttlMs: 60_000 });
    const response = await book("exhausted", 1);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain("no database connection");
    await ledger.admin("DELETE", "/admin/faults");
    await expect.poll(async () => (await checkout(storefront)).status, { timeout: 30_000 }).toBe(200);
  });
});

describe("the ledger's pool", () => {
  it("follows the policy while it works, and fails no call when it shrinks", async () => {
    await using overrides = redisOverrideStore({ redis: fleet.redisUrl });
    const sizeTo = async (size: number, version: number): Promise<void> => {
      const written = await overrides.write(
        "controller",
        { namespace: "reference", service: "ledger", target: "postgres" },
        {
          epoch: 1,
          version,
          values: { "pool.size": size },
          expiresAtMs: Date.now() + 60_000,
          author: "test",
          reason: "test",
          decisionId: `test-${version}`,
        },
      );
      expect(written).toEqual({ ok: true });
      await ledger.line("pool resized", ({ to }) => to === size);
    };
    const statuses: number[] = [];
    let done = false;
    const customer = async (): Promise<void> => {
      while (!done) statuses.push((await book(crypto.randomUUID(), 1)).status);
    };
    const customers = Array.from({ length: 8 }, customer);
    await sizeTo(12, 1);
    await sizeTo(2, 2);
    const calls = statuses.length;
    await expect.poll(() => statuses.length, { timeout: 30_000 }).toBeGreaterThan(calls + 50);
    done = true;
    await Promise.all(customers);
    expect(new Set(statuses)).toEqual(new Set([201]));
    const { policy } = (await (await ledger.admin("GET", "/admin/status")).json()) as { policy: unknown };
    expect(JSON.stringify(policy)).toContain('{"knob":"pool.size","value":2,"layer":"controller"}');
  });
});

describe("the opossum breaker before the database", () => {
  it("opens in every ledger when one of them has no database any more, and closes when it has", async () => {
    const other = await fleet.startRole("ledger");
    await ledger.admin("POST", "/admin/faults", { exhaustPool: 1_000, ttlMs: 60_000 });
    await Promise.all(Array.from({ length: 10 }, () => book(crypto.randomUUID(), 1)));
    const opened = (line: LogLine): boolean => line.breaker === "postgres" && line.to === "open";
    await ledger.line("breaker transition", opened);
    expect(await other.line("breaker transition", opened)).toMatchObject({ from: "closed", origin: "fleet" });
    const refused = await book(crypto.randomUUID(), 1, other);
    expect([refused.status, await refused.json()]).toEqual([
      503,
      { error: "EOPENBREAKER", message: "Breaker is open" },
    ]);

    await ledger.admin("DELETE", "/admin/faults");
    const isClosed = (): boolean =>
      [ledger, other].every(({ lines }) => lines.some(({ breaker, to }) => breaker === "postgres" && to === "closed"));
    while (!isClosed()) await Promise.all([book(crypto.randomUUID(), 1), book(crypto.randomUUID(), 1, other)]);
    expect((await book(crypto.randomUUID(), 1, other)).status).toBe(201);
  });
});

describe("while the ledger fails", () => {
  it("payments puts charges off once the breaker is open, and books again when the ledger is back", async () => {
    await ledger.admin("POST", "/admin/faults", { errorRate: 1, ttlMs: 60_000 });
    const answers: number[] = [];
    while (!answers.includes(202)) answers.push((await checkout(storefront)).status);
    // Until then callers were told the truth: it failed.
    expect(new Set(answers)).toEqual(new Set([503, 202]));
    const transition = await payments.line("breaker transition", (line) => line.to === "open");
    expect(transition).toMatchObject({ breaker: "ledger", from: "closed" });
    expect(transition.atMs).toBeTypeOf("number");
    const { status, body } = await checkout(storefront);
    expect([status, body]).toEqual([202, { orderId: expect.any(String), status: "DEFERRED" }]);

    await fleet.receiver.until(() =>
      fleet.receiver.metrics.some(
        ({ name, points }) => name === "reference.payments.deferred" && points.some(({ value }) => value >= 1),
      ),
    );

    await ledger.admin("DELETE", "/admin/faults");
    // Trials are calls of customers: without them the breaker would not learn that the ledger is well.
    const isClosed = () => payments.lines.some(({ msg, to }) => msg === "breaker transition" && to === "closed");
    while (!isClosed()) await checkout(storefront);
    expect((await checkout(storefront)).status).toBe(200);
  });
});
