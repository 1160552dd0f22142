export { type Authorizer, authorizeAny, authorizeId, authorizeMemberOf } from "./authorizer.ts";
export {
  MtlsAgent,
  type UndiciCallback,
  type UndiciConnectorOptions,
  type UndiciTarget,
  undiciConnector,
} from "./mtls-client.ts";
export type { MtlsOptions } from "./mtls-options.ts";
export { createHttpsServer, createTlsServer, peerIdOf } from "./mtls-server.ts";
export { PeerRejectedError, type RejectionReason } from "./peer-rejected-error.ts";
export { parseCertificates, parseSvid } from "./pem.ts";
export { parseSpiffeId, parseTrustDomain, type SpiffeId, SpiffeIdError } from "./spiffe-id.ts";
export { openSvidFiles, type SvidFilesOptions, SvidUnavailableError } from "./svid-files.ts";
export { type VerifyOptions, verifySvid } from "./verify-svid.ts";
export type { BundleSource, X509Source, X509Svid } from "./x509-source.ts";
