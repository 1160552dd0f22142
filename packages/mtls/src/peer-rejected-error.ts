import { HoldfastError } from "@holdfast/core";

/** Which rule a peer's certificate broke. */
export type RejectionReason =
  /** It sent no certificate. */
  | "no-certificate"
  /** Its certificate or its chain is not what X.509 says. */
  | "malformed"
  /** Not exactly one URI SAN, or that is no ID of a workload. */
  | "no-spiffe-id"
  /** The leaf may sign others, or lacks the right to sign at all. */
  | "not-a-leaf"
  /** Before or after the time for which it, or its issuer, is valid. */
  | "expired"
  /** There is no bundle for its trust domain. */
  | "unknown-trust-domain"
  /** No path from it to an authority of its own trust domain. */
  | "untrusted"
  /** This version of Node does not show the intermediates that would lead to an authority. */
  | "chain-hidden"
  /** The TLS session was resumed: nobody looked at a certificate. */
  | "resumed"
  /** The authorizer said no. */
  | "unauthorized";

/** A peer's identity could not be proven, or it may not come in. The connection was closed. */
export class PeerRejectedError extends HoldfastError<"PEER_REJECTED"> {
  override readonly name = "PeerRejectedError";
  readonly reason: RejectionReason;

  constructor(reason: RejectionReason, message: string, options: { cause?: unknown } = {}) {
    super("PEER_REJECTED", message, options);
    this.reason = reason;
  }
}
