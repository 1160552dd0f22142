import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { ThrowawayAuthority } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { checkout, TestFleet } from "./testing/fleet.ts";
import type { RoleProcess } from "./testing/role-process.ts";

// Real processes: each takes a second to start, and several on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let fleet: TestFleet;
let authority: ThrowawayAuthority;
let payments: RoleProcess;
/** Stands for the ledger: what is tried here lies before it. */
const ledger = createServer((_request, response) => {
  response.writeHead(201, { "content-type": "application/json" }).end('{"entryId":"1"}');
});

beforeAll(async () => {
  ledger.listen(0, "127.0.0.1");
  fleet = await TestFleet.start({ postgres: false });
  authority = await ThrowawayAuthority.create({ trustDomain: "shop.test" });
  payments = await fleet.startRole("payments", {
    LEDGER_URLS: `http://127.0.0.1:${(ledger.address() as AddressInfo).port}`,
    MTLS_DIR: await identity("/payments"),
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  ledger.close();
});

/** A folder that proves to be this, to who trusts the authority. */
async function identity(path: string, by: ThrowawayAuthority = authority): Promise<string> {
  const directory = join(fleet.directory, crypto.randomUUID());
  await by.writeSvid(directory, path);
  return directory;
}

describe("the hop to payments over mutual TLS", () => {
  it("carries a checkout", async () => {
    const storefront = await fleet.startRole("storefront", {
      PAYMENTS_ADDRESS: payments.grpcAddress,
      MTLS_DIR: await identity("/storefront"),
    });
    const { status, body } = await checkout(storefront);
    expect([status, body.status]).toEqual([200, "RECORDED"]);
  });

  it.each([
    ["whose SPIFFE ID is another's", () => identity("/intruder")],
    [
      "of an authority that nobody here trusts",
      async () => identity("/storefront", await ThrowawayAuthority.create({ trustDomain: "shop.test" })),
    ],
    ["that speaks plain text", async () => ""],
  ])("refuses a storefront %s", async (_what, directory) => {
    const storefront = await fleet.startRole("storefront", {
      PAYMENTS_ADDRESS: payments.grpcAddress,
      MTLS_DIR: await directory(),
    });
    const before = ((await (await payments.admin("GET", "/admin/status")).json()) as { requests: number }).requests;
    expect((await checkout(storefront)).status).toBeGreaterThanOrEqual(500);
    const after = ((await (await payments.admin("GET", "/admin/status")).json()) as { requests: number }).requests;
    expect(after).toBe(before);
  });
});
