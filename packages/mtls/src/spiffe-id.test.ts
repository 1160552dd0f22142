import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  authorizeAny,
  authorizeId,
  authorizeMemberOf,
  parseSpiffeId,
  parseTrustDomain,
  SpiffeIdError,
} from "./index.ts";

describe("a SPIFFE ID", () => {
  it.each([
    ["spiffe://demo.test", "demo.test", ""],
    ["spiffe://demo.test/payments", "demo.test", "/payments"],
    ["spiffe://demo.test/ns/Prod_1/sa/pay.ments-2", "demo.test", "/ns/Prod_1/sa/pay.ments-2"],
    ["spiffe://1.2.3.4/...", "1.2.3.4", "/..."],
    ["spiffe://a_b-c/.a/..b/c..", "a_b-c", "/.a/..b/c.."],
  ])("%s is one", (text, trustDomain, path) => {
    expect(parseSpiffeId(text)).toEqual({ trustDomain, path, uri: text });
  });

  it.each([
    "",
    "spiffe:/demo.test",
    "SPIFFE://demo.test/x",
    "https://demo.test/x",
    "spiffe://",
    "spiffe:///payments",
    "spiffe://Demo.test/x",
    "spiffe://demo.test/",
    "spiffe://demo.test/a/",
    "spiffe://demo.test//a",
    "spiffe://demo.test/./a",
    "spiffe://demo.test/a/../b",
    "spiffe://demo.test/a%2fb",
    "spiffe://demo.test/a?",
    "spiffe://demo.test/a?x=1",
    "spiffe://demo.test/a#",
    "spiffe://demo.test?x",
    "spiffe://demo.test:8443/a",
    "spiffe://user@demo.test/a",
    "spiffe://demo.test/a\tb",
    "spiffe://demo.test/a\n",
    " spiffe://demo.test/a",
    "spiffe://demo.test/ä",
    "spiffe://dömo.test/a",
    `spiffe://${"a".repeat(256)}/x`,
    `spiffe://demo.test/${"a".repeat(2_048)}`,
  ])("%j is none", (text) => {
    expect(() => parseSpiffeId(text)).toThrow(SpiffeIdError);
  });

  it("takes the longest that the specification allows", () => {
    expect(parseSpiffeId(`spiffe://${"a".repeat(255)}/x`).trustDomain).toHaveLength(255);
    expect(parseSpiffeId(`spiffe://demo.test/${"a".repeat(2_048 - 19)}`).uri).toHaveLength(2_048);
  });

  it("is never another text than the one that was read", () => {
    const piece = fc.constantFrom("a", "Z", "9", ".", "..", "-", "_", "/", "%2e", "?", "#", "@", ":", "\t", " ", "é");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = `spiffe://${pieces.join("")}`;
        let id: ReturnType<typeof parseSpiffeId>;
        try {
          id = parseSpiffeId(text);
        } catch (error) {
          expect(error).toBeInstanceOf(SpiffeIdError);
          return;
        }
        expect(`spiffe://${id.trustDomain}${id.path}`).toBe(text);
        expect(text).toMatch(/^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/);
        expect(id.path.split("/")).not.toContain("..");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a trust domain", () => {
  it("is given by name or as its ID", () => {
    expect(parseTrustDomain("demo.test")).toBe("demo.test");
    expect(parseTrustDomain("spiffe://demo.test")).toBe("demo.test");
    expect(() => parseTrustDomain("spiffe://demo.test/payments")).toThrow("no path");
  });
});

describe("an authorizer", () => {
  const payments = parseSpiffeId("spiffe://demo.test/payments");

  it("lets exactly the named workloads in", () => {
    const authorize = authorizeId("spiffe://demo.test/payments", "spiffe://demo.test/ledger");
    expect(authorize(payments)).toBe(true);
    expect(authorize(parseSpiffeId("spiffe://demo.test/payments/x"))).toBe(false);
    expect(authorize(parseSpiffeId("spiffe://other.test/payments"))).toBe(false);
  });

  it("lets the members of a trust domain in", () => {
    expect(authorizeMemberOf("demo.test")(payments)).toBe(true);
    expect(authorizeMemberOf("spiffe://other.test")(payments)).toBe(false);
    expect(authorizeAny(payments)).toBe(true);
  });

  it("is not made of something that no workload can have", () => {
    expect(() => authorizeId()).toThrow(TypeError);
    expect(() => authorizeId("spiffe://demo.test")).toThrow(TypeError);
    expect(() => authorizeId("payments")).toThrow(SpiffeIdError);
    expect(() => authorizeMemberOf("Demo")).toThrow(SpiffeIdError);
  });
});
