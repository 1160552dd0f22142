import { parseSpiffeId, parseTrustDomain, type SpiffeId } from "./spiffe-id.ts";

/**
 * Decides whether a peer, whose identity has been proven, may be talked to. Any function will do:
 * `(id) => id.path.startsWith("/checkout/")`.
 */
export type Authorizer = (id: SpiffeId) => boolean;

/**
 * Lets exactly these identities in.
 *
 * @throws SpiffeIdError when one is not a SPIFFE ID, TypeError when there is none or one names a whole trust domain
 */
export function authorizeId(...ids: readonly string[]): Authorizer {
  if (ids.length === 0) throw new TypeError("authorizeId needs at least one SPIFFE ID");
  const allowed = new Set<string>();
  for (const id of ids) {
    const { path, uri } = parseSpiffeId(id);
    if (path === "") throw new TypeError(`authorizeId needs the ID of a workload, not of a trust domain: ${uri}`);
    allowed.add(uri);
  }
  return (peer) => allowed.has(peer.uri);
}

/**
 * Lets every workload of a trust domain in.
 *
 * @throws SpiffeIdError when that is not the name of a trust domain
 */
export function authorizeMemberOf(trustDomain: string): Authorizer {
  const member = parseTrustDomain(trustDomain);
  return (peer) => peer.trustDomain === member;
}

/** Lets every peer in whose identity can be proven, of whichever trust domain there is a bundle for. */
export const authorizeAny: Authorizer = () => true;
