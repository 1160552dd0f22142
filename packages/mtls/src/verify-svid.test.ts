import type { X509Certificate } from "node:crypto";
import { type IssueOptions, ThrowawayAuthority } from "@holdfast/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { type BundleSource, parseCertificates, verifySvid } from "./index.ts";

const trustDomain = "demo.holdfast.test";

let authority: ThrowawayAuthority;
let deep: ThrowawayAuthority;
let other: ThrowawayAuthority;
beforeAll(async () => {
  authority = await ThrowawayAuthority.create({ trustDomain });
  deep = await ThrowawayAuthority.create({ trustDomain, intermediates: 2 });
  other = await ThrowawayAuthority.create({ trustDomain: "other.test" });
});

function bundlesOf(...authorities: ThrowawayAuthority[]): BundleSource {
  const bundles = new Map(
    authorities.map((each) => [each.trustDomain, parseCertificates(each.bundlePem)] as [string, X509Certificate[]]),
  );
  return { trustDomains: [...bundles.keys()], authorities: (name) => bundles.get(name) ?? [] };
}

/** Issues and verifies; returns the ID, or the reason for the refusal. */
async function verdict(id: string, options: IssueOptions = {}, by = authority): Promise<string> {
  const chain = parseCertificates((await by.issue(id, options)).certPem);
  return verdictOn(chain, bundlesOf(authority, other));
}

function verdictOn(chain: X509Certificate[], bundles: BundleSource, more: { nowMs?: number; anchored?: boolean } = {}) {
  try {
    return verifySvid(chain, { bundles, nowMs: Date.now(), ...more }).uri;
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
}

describe("the leaf of a peer", () => {
  it("is taken when it holds every rule", async () => {
    expect(await verdict("/payments")).toBe("spiffe://demo.holdfast.test/payments");
    expect(await verdict("/payments", { dnsNames: ["payments", "payments.svc"] })).toContain("/payments");
    expect(await verdict("/payments", { subject: "" })).toContain("/payments");
    expect(await verdict("/payments", { keyUsages: ["digitalSignature", "keyAgreement"] })).toContain("/payments");
  });

  it("has exactly one URI name, of any scheme", async () => {
    expect(await verdict("/a", { uris: [] })).toBe("no-spiffe-id");
    expect(await verdict("/a", { uris: [], dnsNames: ["a"] })).toBe("no-spiffe-id");
    expect(await verdict("/a", { uris: ["spiffe://demo.holdfast.test/a", "spiffe://demo.holdfast.test/b"] })).toBe(
      "no-spiffe-id",
    );
    expect(await verdict("/a", { uris: ["spiffe://demo.holdfast.test/a", "https://a.test/"] })).toBe("no-spiffe-id");
    expect(await verdict("/a", { uris: ["https://demo.holdfast.test/a"] })).toBe("no-spiffe-id");
  });

  it("has the ID of a workload, not of the trust domain, and one that is well formed", async () => {
    expect(await verdict("/a", { uris: ["spiffe://demo.holdfast.test"] })).toBe("no-spiffe-id");
    expect(await verdict("/a", { uris: ["spiffe://demo.holdfast.test/a/../b"] })).toBe("no-spiffe-id");
    expect(await verdict("/a", { uris: ["spiffe://demo.holdfast.test/a?"] })).toBe("no-spiffe-id");
  });

  it("is no authority", async () => {
    expect(await verdict("/a", { ca: true })).toBe("not-a-leaf");
    expect(await verdict("/a", { keyUsages: ["digitalSignature", "keyCertSign"] })).toBe("not-a-leaf");
    expect(await verdict("/a", { keyUsages: ["digitalSignature", "cRLSign"] })).toBe("not-a-leaf");
  });

  it("has a critical key usage with digitalSignature", async () => {
    expect(await verdict("/a", { keyUsages: [] })).toBe("not-a-leaf");
    expect(await verdict("/a", { keyUsages: ["keyAgreement"] })).toBe("not-a-leaf");
    expect(await verdict("/a", { keyUsageCritical: false })).toBe("not-a-leaf");
  });

  it("is valid now", async () => {
    expect(await verdict("/a", { ttlMs: -1_000 })).toBe("expired");
    expect(await verdict("/a", { backdateMs: -60_000 })).toBe("expired");
  });
});

describe("the chain of a peer", () => {
  it("ends in an authority of the peer's own trust domain", async () => {
    expect(await verdict("spiffe://other.test/a", {}, other)).toBe("spiffe://other.test/a");
    expect(await verdict("spiffe://other.test/a", {}, authority)).toBe("untrusted");
    expect(await verdict("spiffe://unknown.test/a", {}, authority)).toBe("unknown-trust-domain");
    const stranger = await ThrowawayAuthority.create({ trustDomain });
    expect(await verdict("/a", {}, stranger)).toBe("untrusted");
  });

  it("trusts nobody where a bundle is empty", async () => {
    const chain = parseCertificates((await authority.issue("/a")).certPem);
    expect(verdictOn(chain, { trustDomains: [trustDomain], authorities: () => [] })).toBe("unknown-trust-domain");
    expect(verdictOn([], bundlesOf(authority))).toBe("no-certificate");
  });

  it("leads over intermediates in any order, and not past a missing one", async () => {
    const [leaf, second, first] = parseCertificates((await deep.issue("/a")).certPem);
    const bundles = bundlesOf(deep);
    expect(verdictOn([leaf!, second!, first!], bundles)).toContain("/a");
    expect(verdictOn([leaf!, first!, second!], bundles)).toContain("/a");
    expect(verdictOn([leaf!, second!], bundles)).toBe("untrusted");
    expect(verdictOn([leaf!], bundles)).toBe("untrusted");
  });

  it("takes an authority in the bundle that is not self-signed", async () => {
    const [leaf, second] = parseCertificates((await deep.issue("/a")).certPem);
    expect(verdictOn([leaf!], { trustDomains: [trustDomain], authorities: () => [second!] })).toContain("/a");
  });

  it("looks at the dates of every certificate in it", async () => {
    const chain = parseCertificates((await deep.issue("/a", { ttlMs: 60 * 24 * 3_600_000 })).certPem);
    expect(verdictOn(chain, bundlesOf(deep), { nowMs: Date.now() + 40 * 24 * 3_600_000 })).toBe("expired");
  });

  it("never lets a workload sign for another", async () => {
    const id = "spiffe://demo.holdfast.test/a";
    // An intermediate in all but name: it may sign, but has the ID of a workload.
    const rogue = await authority.issue("/rogue", { ca: true, keyUsages: ["digitalSignature", "keyCertSign"] });
    const signed = await authority.issue(id, { signedBy: rogue });
    expect(verdictOn(parseCertificates(signed.certPem), bundlesOf(authority))).toBe("untrusted");
  });

  it("is cut off when absurdly long", async () => {
    const chain = parseCertificates((await authority.issue("/a")).certPem);
    expect(
      verdictOn(
        Array.from({ length: 11 }, () => chain[0]!),
        bundlesOf(authority),
      ),
    ).toBe("malformed");
  });

  it("relies on OpenSSL for hidden intermediates only where there is one trust domain", async () => {
    const [leaf] = parseCertificates((await deep.issue("/a")).certPem);
    expect(verdictOn([leaf!], bundlesOf(deep), { anchored: true })).toContain("/a");
    expect(verdictOn([leaf!], bundlesOf(deep, other), { anchored: true })).toBe("chain-hidden");
    const [foreign] = parseCertificates((await deep.issue("spiffe://other.test/a")).certPem);
    expect(verdictOn([foreign!], bundlesOf(deep), { anchored: true })).toBe("unknown-trust-domain");
  });
});
