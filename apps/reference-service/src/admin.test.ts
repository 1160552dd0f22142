import type { AddressInfo } from "node:net";
import { silentLogger } from "@holdfast/sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { adminApp } from "./admin.ts";
import { Faults } from "./faults.ts";

const token = "0123456789abcdef";

let faults: Faults;
let app: ReturnType<typeof adminApp>;
let url: string;

beforeEach(async () => {
  faults = new Faults();
  app = adminApp({ token, faults, status: () => ({ service: "ledger" }), logger: silentLogger });
  await app.listen({ host: "127.0.0.1", port: 0 });
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  faults.clear();
  await app.close();
});

function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}${path}`, {
    method,
    body: body ?? null,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
  });
}

describe("the admin endpoint", () => {
  it.each([
    ["no token", undefined],
    ["an empty header", ""],
    ["another token", "Bearer fedcba9876543210"],
    ["the beginning of the token", `Bearer ${token.slice(0, -1)}`],
    ["the token and more", `Bearer ${token}0`],
    ["the token alone", token],
    ["another scheme", `Basic ${token}`],
  ])("lets nobody in with %s", async (_what, authorization) => {
    const headers = authorization === undefined ? {} : { authorization };
    for (const [method, path] of [
      ["GET", "/admin/status"],
      ["GET", "/admin/faults"],
      ["POST", "/admin/faults"],
      ["DELETE", "/admin/faults"],
      ["GET", "/nowhere"],
    ] as const) {
      const response = await fetch(`${url}${path}`, { method, headers });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await response.text()).not.toContain(token);
    }
    expect(faults.plan).toBeUndefined();
  });

  it("switches faults on, shows them and switches them off", async () => {
    expect(await (await ask("GET", "/admin/faults")).json()).toEqual({});
    const plan = { latencyMs: 20, errorRate: 0.5, ttlMs: 60_000 };
    const set = await ask("POST", "/admin/faults", JSON.stringify(plan));
    expect([set.status, await set.json()]).toEqual([200, plan]);
    expect(await (await ask("GET", "/admin/faults")).json()).toEqual(plan);
    expect((await ask("DELETE", "/admin/faults")).status).toBe(204);
    expect(faults.plan).toBeUndefined();
  });

  it.each([
    ["nothing at all", "{}", "fewer than 1"],
    ["a field that there is not", '{"latency":5}', "additional properties"],
    ["a number written as text", '{"latencyMs":"5"}', "latencyMs must be integer"],
    ["a share above 1", '{"errorRate":1.1}', "errorRate must be <= 1"],
    ["a negative wait", '{"latencyMs":-1}', "latencyMs must be >= 0"],
    ["a block of an hour", '{"blockMs":3600000}', "blockMs must be <= 60000"],
    ["a list", "[]", "must be object"],
    ["half a document", '{"latencyMs":', "JSON"],
    ["a prototype", '{"__proto__":{"crash":true}}', "JSON"],
    ["connections of a pool that this role has not", '{"exhaustPool":3}', "no database pool"],
  ])("refuses %s, saying why", async (_what, body, why) => {
    const response = await ask("POST", "/admin/faults", body);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { message: string }).message).toContain(why);
    expect(faults.plan).toBeUndefined();
  });

  it("takes no more than a small body, and JSON alone", async () => {
    expect((await ask("POST", "/admin/faults", `"${"a".repeat(17 * 1024)}"`)).status).toBe(413);
    expect((await ask("POST", "/admin/faults", "<x/>", { "content-type": "text/xml" })).status).toBe(415);
  });

  it("shows the instance", async () => {
    expect(await (await ask("GET", "/admin/status")).json()).toEqual({ service: "ledger" });
  });
});
