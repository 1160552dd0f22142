import type { Clock, Logger } from "@holdfast/core";
import type { Authorizer } from "./authorizer.ts";
import type { X509Source } from "./x509-source.ts";

/** What every mutual TLS end takes. */
export interface MtlsOptions {
  /** Who this process is and whom it can recognise; its owner closes it. */
  source: X509Source;
  /** Who of them may be talked to. There is no default: write `authorizeAny` where that is meant. */
  authorize: Authorizer;
  /** Told of refused peers, rate-limited. */
  logger?: Logger | undefined;
  clock?: Clock | undefined;
}
