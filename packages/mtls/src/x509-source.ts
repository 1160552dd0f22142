import type { X509Certificate } from "node:crypto";
import type { SpiffeId } from "./spiffe-id.ts";

/** An X.509-SVID: who this process is, and the key that proves it. */
export interface X509Svid {
  readonly id: SpiffeId;
  /** The leaf, then its intermediates. */
  readonly certificates: readonly X509Certificate[];
  /** As PEM, in the same order. */
  readonly certPem: string;
  /** PEM. */
  readonly keyPem: string;
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number;
  /** Milliseconds since the epoch. */
  readonly notAfterMs: number;
}

/** Where trust comes from: the authorities of each trust domain, never mixed. */
export interface BundleSource {
  /** The trust domains that there is a bundle for. */
  readonly trustDomains: readonly string[];
  /** The authorities of a trust domain; none for one that is not known. */
  authorities(trustDomain: string): readonly X509Certificate[];
}

/** A live identity with its bundles. Files today; anything that delivers whole updates can be one. */
export interface X509Source extends BundleSource, AsyncDisposable {
  /** The newest that is whole. It may have expired since: see `isHealthy()`. */
  readonly svid: X509Svid;
  /** Seconds until `svid` expires; negative afterwards. */
  readonly secondsToExpiry: number;
  /** Why the last update was not taken; undefined as soon as one was. */
  readonly lastError: Error | undefined;
  /** Whether peers would accept `svid` now, as far as its dates tell. */
  isHealthy(): boolean;
  /** Calls `listener` after each change of the SVID or of a bundle. Returns what takes it back. */
  onChange(listener: () => void): () => void;
  /** Stops the updates. What was handed out stays usable. */
  close(): Promise<void>;
}
