import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from "node:tls";
import { systemClock } from "@holdfast/core";
import type { MtlsOptions } from "./mtls-options.ts";
import { PeerRejectedError } from "./peer-rejected-error.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { verifySvid } from "./verify-svid.ts";

/** More certificates than `verifySvid` takes, so that it can refuse. */
const MOST_CERTIFICATES = 20;

/**
 * Decides on a client whose handshake is done.
 *
 * @throws PeerRejectedError
 */
export function verifyClient(socket: TLSSocket, options: MtlsOptions): SpiffeId {
  if (socket.isSessionReused()) throw new PeerRejectedError("resumed", "the client resumed an earlier TLS session");
  if (!socket.authorized) {
    throw new PeerRejectedError("untrusted", `OpenSSL does not trust the client: ${String(socket.authorizationError)}`);
  }
  return verify(socket.getPeerCertificate(true), options, true);
}

/**
 * Decides on a server, in the place of Node's check of its host name: SPIFFE names services, not hosts.
 *
 * @param certificate what Node gives to `checkServerIdentity`
 * @throws PeerRejectedError
 */
export function verifyServer(certificate: PeerCertificate, options: MtlsOptions): SpiffeId {
  return verify(certificate as DetailedPeerCertificate, options, false);
}

function verify(certificate: DetailedPeerCertificate, options: MtlsOptions, anchored: boolean): SpiffeId {
  const { source, authorize, clock = systemClock } = options;
  const id = verifySvid(chainOf(certificate), { bundles: source, nowMs: clock.now(), anchored });
  if (!authorize(id)) throw new PeerRejectedError("unauthorized", `${id.uri} is not among those who may come in`);
  return id;
}

/** Each certificate points to the next; the last one to itself, or to nothing. */
function chainOf(leaf: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set<DetailedPeerCertificate>();
  // Without a certificate Node gives an empty object.
  for (let at: DetailedPeerCertificate | undefined = leaf; at?.raw && !seen.has(at); at = at.issuerCertificate) {
    seen.add(at);
    chain.push(new X509Certificate(at.raw));
    if (chain.length === MOST_CERTIFICATES) break;
  }
  return chain;
}
