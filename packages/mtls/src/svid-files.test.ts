import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "@holdfast/core";
import { TestClock, ThrowawayAuthority } from "@holdfast/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openSvidFiles, type X509Source } from "./index.ts";
import { changed, trustDomain } from "./testing/workload.ts";

let authority: ThrowawayAuthority;
beforeAll(async () => {
  authority = await ThrowawayAuthority.create({ trustDomain });
});

let directory: string;
let source: X509Source | undefined;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-svid-"));
});
afterEach(async () => {
  await source?.close();
  source = undefined;
  await rm(directory, { recursive: true, force: true });
});

const open = async (more: Partial<Parameters<typeof openSvidFiles>[0]> = {}) => {
  source = await openSvidFiles({ directory, pollMs: 50, ...more });
  return source;
};
const files = (name: string) => join(directory, name);

describe("an SVID from files", () => {
  it("is there once opened, with its bundle", async () => {
    await authority.writeSvid(directory, "/payments", { ttlMs: 60_000 });
    const { svid, trustDomains, isHealthy, secondsToExpiry, lastError, authorities } = bound(await open());
    expect(svid.id.uri).toBe("spiffe://demo.holdfast.test/payments");
    expect(trustDomains).toEqual([trustDomain]);
    expect(authorities(trustDomain)).toHaveLength(1);
    expect(authorities("other.test")).toEqual([]);
    expect(isHealthy()).toBe(true);
    expect(secondsToExpiry).toBeGreaterThan(50);
    expect(lastError).toBeUndefined();
  });

  it("is waited for when it comes late", async () => {
    const opening = open({ directory: files("later") });
    await authority.writeSvid(files("later"), "/payments");
    expect((await opening).svid.id.path).toBe("/payments");
  });

  it.each([
    ["nothing there", async () => {}, "ENOENT"],
    ["no certificate in the file", () => put("svid.pem", "garbage"), "svid.pem: there is no certificate in it"],
    ["the key of another", () => putKeyOfAnother(), "the key is not that of the certificate"],
    ["an expired one", () => authority.writeSvid(directory, "/a", { ttlMs: -1_000 }), "it expired at"],
    [
      "one not valid yet",
      () => authority.writeSvid(directory, "/a", { backdateMs: -60_000 }),
      "it is not valid before",
    ],
    ["one that peers refuse", () => authority.writeSvid(directory, "/a", { ca: true }), "is that of an authority"],
    ["an empty bundle", () => put("bundle.pem", ""), "bundle.pem: there is no certificate in it"],
  ])("fails to open with the reason: %s", async (what, prepare, reason) => {
    if (what !== "nothing there") await authority.writeSvid(directory, "/payments");
    await prepare();
    await expect(open({ initTimeoutMs: 0 })).rejects.toMatchObject({
      code: "SVID_UNAVAILABLE",
      message: expect.stringContaining(reason),
    });
  });

  it("gives up when told to", async () => {
    await expect(open({ signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
    const abort = new AbortController();
    const opening = open({ signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(opening).rejects.toThrow("enough");
  });

  it("follows a rotation, told by the file system", async () => {
    await authority.writeSvid(directory, "/payments");
    // An hour until the next poll: what comes, came from the watch.
    const source = await open({ pollMs: 600_000 });
    const next = await authority.writeSvid(directory, "/payments");
    await changed(source, () => source.svid.certPem === next.certPem);
    expect(source.svid.keyPem).toBe(next.keyPem);
  });

  it("follows a rotation without the file system's word, by looking", async () => {
    const clock = new TestClock(Date.now());
    await authority.writeSvid(files("real"), "/payments");
    // A watch on the directory does not see behind links that lead elsewhere.
    const source = await open({
      clock,
      files: { svid: "real/svid.pem", key: "real/svid_key.pem", bundle: "real/bundle.pem" },
    });
    const next = await authority.writeSvid(files("real"), "/payments");
    await expect
      .poll(async () => {
        await clock.advanceAsync(50);
        return source.svid.certPem;
      })
      .toBe(next.certPem);
  });

  it("keeps the last good pair while a torn one is on disk", async () => {
    const first = await authority.writeSvid(directory, "/payments");
    const source = await open();
    const next = await authority.issue("/payments");
    await put("svid.pem", next.certPem);
    await expect.poll(() => source.lastError?.message).toContain("the key is not that of the certificate");
    expect(source.svid.certPem).toBe(first.certPem);
    expect(source.isHealthy()).toBe(true);
    await put("svid_key.pem", next.keyPem);
    await changed(source, () => source.svid.certPem === next.certPem);
    expect(source.lastError).toBeUndefined();
  });

  it("takes a new bundle even while the pair is torn", async () => {
    await authority.writeSvid(directory, "/payments");
    const source = await open();
    const next = await ThrowawayAuthority.create({ trustDomain });
    await put("svid.pem", (await authority.issue("/payments")).certPem);
    await put("bundle.pem", next.bundlePem);
    await changed(source, () => source.authorities(trustDomain)[0]!.toString().trim() === next.bundlePem.trim());
  });

  it("keeps the bundles of other trust domains apart, and no file stands in for the own one", async () => {
    const other = await ThrowawayAuthority.create({ trustDomain: "other.test" });
    await authority.writeSvid(directory, "/payments");
    await put("other.pem", other.bundlePem);
    const source = await open({ federatedBundles: { "other.test": "other.pem", [trustDomain]: "other.pem" } });
    expect([...source.trustDomains].sort()).toEqual([trustDomain, "other.test"]);
    expect(source.authorities("other.test")[0]!.toString().trim()).toBe(other.bundlePem.trim());
    expect(source.authorities(trustDomain)[0]!.toString().trim()).toBe(authority.bundlePem.trim());
  });

  it("says when it was not rotated in time, once, and when it has expired", async () => {
    const clock = new TestClock();
    const authority = await ThrowawayAuthority.create({ trustDomain, clock });
    const warnings: string[] = [];
    const logger: Logger = { debug() {}, info() {}, error() {}, warn: (_fields, message) => warnings.push(message) };
    await authority.writeSvid(directory, "/payments", { ttlMs: 600_000, backdateMs: 0 });
    const source = await open({ clock, logger, pollMs: 60_000 });
    for (let minute = 0; minute < 11; minute++) {
      clock.advance(60_000);
      await expect.poll(() => clock.pendingTimers).toBe(1);
      expect(source.isHealthy()).toBe(minute < 9);
    }
    expect(warnings.filter((each) => each.includes("not rotated in time"))).toHaveLength(1);
    expect(source.secondsToExpiry).toBeLessThan(0);
  });

  it("leaves nothing behind once closed", async () => {
    const clock = new TestClock(Date.now());
    await authority.writeSvid(directory, "/payments");
    const source = await open({ clock });
    source.onChange(() => expect.unreachable());
    await source.close();
    expect(clock.pendingTimers).toBe(0);
    await authority.writeSvid(directory, "/payments");
  });
});

async function put(name: string, text: string): Promise<void> {
  await writeFile(files(`${name}.new`), text);
  await rename(files(`${name}.new`), files(name));
}

async function putKeyOfAnother(): Promise<void> {
  await put("svid_key.pem", (await authority.issue("/other")).keyPem);
}

function bound(source: X509Source) {
  return {
    svid: source.svid,
    trustDomains: source.trustDomains,
    secondsToExpiry: source.secondsToExpiry,
    lastError: source.lastError,
    isHealthy: () => source.isHealthy(),
    authorities: (name: string) => source.authorities(name),
  };
}
