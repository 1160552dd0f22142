import { X509Certificate } from "node:crypto";
import { ThrowawayAuthority } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCertificateFields } from "./certificate-fields.ts";
import { DerError, oidText, readDer } from "./der.ts";

const trustDomain = "demo.holdfast.test";

describe("the fields of a certificate", () => {
  it("are read from its DER", async () => {
    const authority = await ThrowawayAuthority.create({ trustDomain });
    const root = readCertificateFields(new X509Certificate(authority.bundlePem).raw);
    expect(root).toMatchObject({ ca: true, uris: ["spiffe://demo.holdfast.test"], unknownCritical: [] });
    expect(root.keyUsage).toEqual({ critical: true, digitalSignature: false, keyCertSign: true, cRLSign: true });
    const svid = await authority.issue("/payments", { subject: "", dnsNames: ["payments"], keyUsages: ["cRLSign"] });
    expect(readCertificateFields(new X509Certificate(svid.certPem).raw)).toEqual({
      subjectIsEmpty: true,
      ca: false,
      pathLength: undefined,
      keyUsage: { critical: true, digitalSignature: false, keyCertSign: false, cRLSign: true },
      uris: ["spiffe://demo.holdfast.test/payments"],
      alternativeNamesCritical: true,
      hasNameConstraints: false,
      unknownCritical: [],
    });
  });

  it("are refused, never misread, when bytes are changed or missing", async () => {
    const authority = await ThrowawayAuthority.create({ trustDomain });
    const { raw } = new X509Certificate((await authority.issue("/payments")).certPem);
    fc.assert(
      fc.property(fc.nat(raw.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, byte, cut) => {
        const bytes = cut ? raw.subarray(0, at) : Buffer.from(raw).fill(byte, at, at + 1);
        try {
          readCertificateFields(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DerError);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("DER", () => {
  it.each([
    ["an indefinite length", [0x30, 0x80, 0x00, 0x00]],
    ["a length in more bytes than needed", [0x04, 0x81, 0x01, 0xff]],
    ["a length with a leading zero", [0x04, 0x82, 0x00, 0x80]],
    ["a length beyond the end", [0x04, 0x05, 0x00]],
    ["a length that is cut off", [0x04, 0x82, 0x01]],
    ["no length at all", [0x04]],
    ["a tag of several bytes", [0x1f, 0x81, 0x00, 0x00]],
  ])("is refused with %s", (_what, bytes) => {
    expect(() => readDer(Uint8Array.from(bytes))).toThrow(DerError);
  });

  it("writes object identifiers in dots", () => {
    expect(oidText(Uint8Array.from([0x55, 0x1d, 0x0f]))).toBe("2.5.29.15");
    expect(oidText(Uint8Array.from([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]))).toBe("1.2.840.113549");
    expect(() => oidText(Uint8Array.from([0x55, 0x86]))).toThrow(DerError);
  });
});
