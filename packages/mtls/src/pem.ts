import { createPrivateKey, X509Certificate } from "node:crypto";
import { verifyLeaf } from "./verify-svid.ts";
import type { X509Svid } from "./x509-source.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/**
 * Reads every certificate of a PEM text.
 *
 * @throws TypeError when there is none, or the parser's own error
 */
export function parseCertificates(pem: string): X509Certificate[] {
  const certificates = (pem.match(CERTIFICATE) ?? []).map((each) => new X509Certificate(each));
  if (certificates.length === 0) throw new TypeError("there is no certificate in it");
  return certificates;
}

/**
 * Reads a certificate chain and its key, and checks that they belong together: written one after the other, they can be
 * caught in between.
 *
 * @throws PeerRejectedError when the leaf breaks a rule for X.509-SVIDs (peers would refuse it), TypeError when the key
 *   is another certificate's, or the parser's own error
 */
export function parseSvid(certPem: string, keyPem: string): X509Svid {
  const certificates = parseCertificates(certPem);
  const leaf = certificates[0]!;
  const id = verifyLeaf(leaf);
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new TypeError("the key is not that of the certificate");
  return {
    id,
    certificates,
    certPem,
    keyPem,
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
  };
}
