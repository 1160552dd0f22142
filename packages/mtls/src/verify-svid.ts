import type { X509Certificate } from "node:crypto";
import { messageOf } from "@holdfast/core";
import { type CertificateFields, readCertificateFields } from "./certificate-fields.ts";
import { PeerRejectedError, type RejectionReason } from "./peer-rejected-error.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";
import type { BundleSource } from "./x509-source.ts";

export interface VerifyOptions {
  bundles: BundleSource;
  /** Milliseconds since the epoch. */
  nowMs: number;
  /**
   * OpenSSL has found a path from this leaf to one of the authorities of `bundles`, but may not have shown it. It counts
   * only where all those authorities are of the leaf's own trust domain. Default false.
   */
  anchored?: boolean | undefined;
}

/** Longer chains are somebody's attempt to keep us busy. */
const LONGEST_CHAIN = 10;

/**
 * Proves the identity that a peer claims: a leaf by the rules for X.509-SVIDs, and a path from it to an authority of the
 * leaf's own trust domain. OpenSSL's check does neither, so it must pass as well, not instead.
 *
 * Source: X509-SVID.md, sections 3 to 5; RFC 5280, section 6.1.
 *
 * @param chain what the peer sent: the leaf first, intermediates in any order
 * @throws PeerRejectedError naming the rule
 */
export function verifySvid(chain: readonly X509Certificate[], options: VerifyOptions): SpiffeId {
  const { bundles, nowMs, anchored = false } = options;
  const [leaf, ...intermediates] = chain;
  if (!leaf) throw new PeerRejectedError("no-certificate", "the peer sent no certificate");
  if (chain.length > LONGEST_CHAIN) {
    throw new PeerRejectedError("malformed", `the peer sent ${chain.length} certificates, more than ${LONGEST_CHAIN}`);
  }
  const id = verifyLeaf(leaf);
  checkDates(leaf, "its certificate", nowMs);
  const authorities = bundles.authorities(id.trustDomain);
  if (authorities.length === 0) {
    throw new PeerRejectedError("unknown-trust-domain", `there is no bundle for the trust domain of ${id.uri}`);
  }
  const problem = findPath(leaf, intermediates, authorities, nowMs);
  if (problem === undefined) return id;
  if (anchored && intermediates.length === 0) {
    // Node 24.21 shows a server only the leaf. With one trust domain that path can have ended nowhere else.
    if (bundles.trustDomains.every((each) => each === id.trustDomain)) return id;
    throw new PeerRejectedError(
      "chain-hidden",
      `Node ${process.version} does not show the intermediates of ${id.uri}, and there are bundles of several trust domains: use a Node that shows them`,
    );
  }
  throw new PeerRejectedError(
    problem.reason,
    `no path from ${id.uri} to an authority of its trust domain: ${problem.message}`,
  );
}

/**
 * Checks what a leaf alone can break, its dates excepted.
 *
 * @throws PeerRejectedError
 */
export function verifyLeaf(leaf: X509Certificate): SpiffeId {
  const fields = fieldsOf(leaf, "its certificate");
  const { uris, keyUsage } = fields;
  if (uris.length !== 1) {
    throw new PeerRejectedError("no-spiffe-id", `its certificate has ${uris.length} URI names instead of one`);
  }
  let id: SpiffeId;
  try {
    id = parseSpiffeId(uris[0]!);
  } catch (cause) {
    throw new PeerRejectedError("no-spiffe-id", messageOf(cause), { cause });
  }
  if (id.path === "") throw new PeerRejectedError("no-spiffe-id", `${id.uri} names a trust domain, not a workload`);
  if (fields.subjectIsEmpty && !fields.alternativeNamesCritical) {
    throw new PeerRejectedError(
      "malformed",
      `the certificate of ${id.uri} has no subject and its names are not critical`,
    );
  }
  const wrong = problemOfLeafUsage(fields.ca, keyUsage);
  if (wrong) throw new PeerRejectedError("not-a-leaf", `the certificate of ${id.uri} ${wrong}`);
  return id;
}

function problemOfLeafUsage(ca: boolean, keyUsage: CertificateFields["keyUsage"]): string | undefined {
  if (ca) return "is that of an authority";
  if (!keyUsage) return "has no key usage";
  if (keyUsage.keyCertSign || keyUsage.cRLSign) return "may sign certificates or revocation lists";
  if (!keyUsage.critical) return "has a key usage that is not critical";
  if (!keyUsage.digitalSignature) return "may not be used for signatures";
  return undefined;
}

interface PathProblem {
  reason: RejectionReason;
  message: string;
}

/** Looks for a path by trying every issuer that fits. Returns undefined once found, else the most telling obstacle. */
function findPath(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  nowMs: number,
): PathProblem | undefined {
  let obstacle: PathProblem = { reason: "untrusted", message: "nobody there signed it" };
  const climb = (certificate: X509Certificate, used: readonly X509Certificate[]): boolean => {
    const candidates = [...authorities, ...intermediates.filter((each) => !used.includes(each))];
    for (const issuer of candidates) {
      if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) continue;
      const isAnchor = authorities.includes(issuer);
      try {
        checkIssuer(issuer, { isAnchor, below: used.length, nowMs });
      } catch (error) {
        if (!(error instanceof PeerRejectedError)) throw error;
        obstacle = { reason: error.reason, message: error.message };
        continue;
      }
      if (isAnchor || climb(issuer, [...used, issuer])) return true;
    }
    return false;
  };
  return climb(leaf, []) ? undefined : obstacle;
}

function checkIssuer(issuer: X509Certificate, at: { isAnchor: boolean; below: number; nowMs: number }): void {
  const what = at.isAnchor ? "an authority" : "an intermediate";
  const fields = fieldsOf(issuer, what);
  // An anchor is trusted because an operator said so; it may lack a key usage, but not deny it.
  const maySign = fields.keyUsage ? fields.keyUsage.keyCertSign : at.isAnchor;
  if (!fields.ca || !maySign) throw new PeerRejectedError("untrusted", `${what} may not sign certificates`);
  if (fields.pathLength !== undefined && at.below > fields.pathLength) {
    throw new PeerRejectedError(
      "untrusted",
      `${what} allows ${fields.pathLength} intermediates below it, not ${at.below}`,
    );
  }
  for (const uri of fields.uris) {
    if (!uri.startsWith("spiffe:")) continue;
    if (parseIdOf(uri, what).path !== "") {
      throw new PeerRejectedError("untrusted", `${what} has the ID of a workload, ${uri}`);
    }
  }
  checkDates(issuer, what, at.nowMs);
}

function parseIdOf(uri: string, what: string): SpiffeId {
  try {
    return parseSpiffeId(uri);
  } catch (cause) {
    throw new PeerRejectedError("untrusted", `${what}: ${messageOf(cause)}`, { cause });
  }
}

function fieldsOf(certificate: X509Certificate, what: string): CertificateFields {
  let fields: CertificateFields;
  try {
    fields = readCertificateFields(certificate.raw);
  } catch (cause) {
    throw new PeerRejectedError("malformed", `${what} cannot be read: ${messageOf(cause)}`, { cause });
  }
  // What is not understood could take back what was understood.
  if (fields.hasNameConstraints) throw new PeerRejectedError("malformed", `${what} has name constraints`);
  if (fields.unknownCritical.length > 0) {
    throw new PeerRejectedError(
      "malformed",
      `${what} has unknown critical extensions: ${fields.unknownCritical.join(", ")}`,
    );
  }
  return fields;
}

function checkDates(certificate: X509Certificate, what: string, nowMs: number): void {
  const notBefore = certificate.validFromDate;
  const notAfter = certificate.validToDate;
  // Written so that a date that cannot be read refuses.
  if (!(nowMs >= notBefore.getTime())) {
    throw new PeerRejectedError("expired", `${what} is not valid before ${certificate.validFrom}`);
  }
  if (!(nowMs <= notAfter.getTime())) {
    throw new PeerRejectedError("expired", `${what} expired at ${certificate.validTo}`);
  }
}
