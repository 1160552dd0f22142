import { constants } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { X509Source } from "./x509-source.ts";

/**
 * All that makes a TLS context of this source, whole each time: `setSecureContext()` resets whatever it is not given,
 * tickets and the least version among it.
 */
export function tlsContext(source: X509Source): SecureContextOptions {
  const { certPem, keyPem } = source.svid;
  return {
    cert: certPem,
    key: keyPem,
    ca: authoritiesPem(source),
    minVersion: "TLSv1.2",
    // A resumed session skips every check: an expired or revoked peer would come in again.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    // A bundle may hold an authority that another one signed.
    allowPartialTrustChain: true,
  };
}

/** Every trust domain's: OpenSSL knows no more than that. Which of them may vouch for whom, `verifySvid` decides. */
export function authoritiesPem(source: X509Source): string {
  return source.trustDomains
    .flatMap((trustDomain) => source.authorities(trustDomain))
    .map((authority) => authority.toString())
    .join("\n");
}
