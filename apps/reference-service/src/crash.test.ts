import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { checkout, TestFleet } from "./testing/fleet.ts";

// Real processes: each takes a second to start, and several on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await TestFleet.start({ postgres: false });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe("the crash fault", () => {
  it("ends the process, whose successor tells of it and of the request that was in flight", async () => {
    const env = {
      PAYMENTS_ADDRESS: "ipv4:127.0.0.1:1",
      HOLDFAST_STATE_DIR: join(fleet.directory, "crashing"),
      OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=storefront-1",
    };
    const crashing = await fleet.startRole("storefront", env);
    await crashing.admin("POST", "/admin/faults", { crash: true });
    const traceId = randomBytes(16).toString("hex");
    const traceparent = `00-${traceId}-${randomBytes(8).toString("hex")}-01`;
    await expect(checkout(crashing, undefined, { traceparent })).rejects.toThrow();
    expect(await crashing.ended).toEqual({ code: 1, signal: null });

    await fleet.startRole("storefront", env);
    const crash = () => fleet.receiver.spans.find(({ name }) => name === "lifecycle.crash");
    const inFlight = () => fleet.receiver.spans.find((span) => span.traceId === traceId && span.kind === "server");
    await fleet.receiver.until(() => crash() !== undefined && inFlight() !== undefined);
    expect(crash()).toMatchObject({ status: "error", attributes: { "exception.message": "injected crash" } });
    expect(crash()!.links).toContainEqual(expect.objectContaining({ traceId, spanId: inFlight()!.spanId }));
    expect(inFlight()!.status).toBe("error");
  });
});

describe("a role that is told to stop", () => {
  it("ends in order while it still waits for its database", async () => {
    const starting = fleet.spawnRole("ledger", { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" });
    await starting.line("waiting for the database");
    expect(await starting.stop("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  it("ends in order when it serves, and has told of every span", async () => {
    const serving = await fleet.startRole("storefront", { PAYMENTS_ADDRESS: "ipv4:127.0.0.1:1" });
    await checkout(serving);
    expect(await serving.stop("SIGTERM")).toEqual({ code: 0, signal: null });
    const { spans } = (await serving.line("telemetry closed")) as { spans?: Record<string, number> };
    expect(spans).toMatchObject({ exported: spans?.ended, failed: 0, dropped: 0 });
    expect(spans?.ended).toBeGreaterThan(0);
  });
});

describe("a role that cannot start", () => {
  it("says everything that is wrong with its environment and ends with code 2", async () => {
    const failing = fleet.spawnRole("storefront", { PORT: "99999" });
    expect(await failing.ended).toEqual({ code: 2, signal: null });
    expect(failing.errorOutput).toContain("PORT must be a whole number");
    expect(failing.errorOutput).toContain("PAYMENTS_ADDRESS is required");
  });
});
