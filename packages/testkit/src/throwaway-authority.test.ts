import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestClock, ThrowawayAuthority } from "./index.ts";

const trustDomain = "demo.holdfast.test";
const chainOf = (pem: string) =>
  pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)!.map((each) => new X509Certificate(each));

describe("the throw-away authority", () => {
  it("issues an SVID with one URI SAN, not a CA, under a root that signed it", async () => {
    const authority = await ThrowawayAuthority.create({ trustDomain });
    const svid = await authority.issue("/payments", { dnsNames: ["payments"] });
    const [leaf, ...rest] = chainOf(svid.certPem);
    const root = new X509Certificate(authority.bundlePem);
    expect(rest).toEqual([]);
    expect(leaf!.subjectAltName).toBe("URI:spiffe://demo.holdfast.test/payments, DNS:payments");
    expect(leaf!.ca).toBe(false);
    expect(leaf!.checkIssued(root) && leaf!.verify(root.publicKey)).toBe(true);
    expect(root.ca).toBe(true);
    expect(createSecureContext({ cert: svid.certPem, key: svid.keyPem })).toBeDefined();
  });

  it("puts its intermediates behind the leaf, nearest first", async () => {
    const authority = await ThrowawayAuthority.create({ trustDomain, intermediates: 2 });
    const chain = [...chainOf((await authority.issue("/payments")).certPem), new X509Certificate(authority.bundlePem)];
    expect(chain).toHaveLength(4);
    for (let i = 0; i < 3; i++) expect(chain[i]!.verify(chain[i + 1]!.publicKey)).toBe(true);
  });

  it("dates certificates by its clock", async () => {
    const clock = new TestClock();
    const authority = await ThrowawayAuthority.create({ trustDomain, clock });
    const [leaf] = chainOf((await authority.issue("/payments", { ttlMs: 60_000, backdateMs: 0 })).certPem);
    expect(leaf!.validFromDate.getTime()).toBe(clock.now());
    expect(leaf!.validToDate.getTime()).toBe(clock.now() + 60_000);
    const [expired] = chainOf((await authority.issue("/payments", { ttlMs: -60_000 })).certPem);
    expect(expired!.validToDate.getTime()).toBe(clock.now() - 60_000);
    expect(expired!.validFromDate.getTime()).toBeLessThan(clock.now() - 60_000);
  });

  describe("on disk", () => {
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), "holdfast-authority-"));
    });
    afterEach(() => rm(directory, { recursive: true, force: true }));

    it("writes the files of spiffe-helper, the key for its owner only, and nothing else", async () => {
      const authority = await ThrowawayAuthority.create({ trustDomain });
      const svid = await authority.writeSvid(join(directory, "payments"), "/payments");
      const files = await readdir(join(directory, "payments"));
      expect(files.sort()).toEqual(["bundle.pem", "svid.pem", "svid_key.pem"]);
      expect(await readFile(join(directory, "payments", "svid.pem"), "utf8")).toBe(svid.certPem);
      expect((await stat(join(directory, "payments", "svid_key.pem"))).mode & 0o777).toBe(0o600);
    });

    it("rotates until it is closed", async () => {
      const clock = new TestClock();
      const authority = await ThrowawayAuthority.create({ trustDomain, clock });
      const rotation = await authority.rotateEvery(directory, "/payments", { everyMs: 1_000 });
      const first = await readFile(join(directory, "svid.pem"), "utf8");
      clock.advance(1_000);
      await expect.poll(() => rotation.count).toBe(2);
      expect(await readFile(join(directory, "svid.pem"), "utf8")).not.toBe(first);
      await rotation.close();
      expect(clock.pendingTimers).toBe(0);
    });
  });
});
