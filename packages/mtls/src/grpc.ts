import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, isIP } from "node:net";
import { type ChannelCredentials, experimental, type Server, ServerCredentials } from "@grpc/grpc-js";
import { serverCheck } from "./mtls-client.ts";
import type { MtlsOptions } from "./mtls-options.ts";
import { createTlsServer } from "./mtls-server.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { authoritiesPem } from "./tls-context.ts";
import { verifyLeaf } from "./verify-svid.ts";
import type { X509Source } from "./x509-source.ts";

export interface ListenGrpcOptions extends MtlsOptions {
  /** Such as "0.0.0.0:50051" or "[::1]:50051"; port 0 takes any free one. */
  address: string;
}

export interface GrpcListener extends AsyncDisposable {
  readonly port: number;
  /** Accepts no more connections. Open ones belong to the gRPC server: its `tryShutdown()` ends them. */
  close(): Promise<void>;
}

/**
 * Lets authorized clients reach a gRPC server, in the place of `server.bindAsync()`. grpc-js has no hook between a TLS
 * handshake and its first call, so the handshake is done here and only verified connections are handed on. A rotation is
 * for new connections; open streams go on.
 *
 * @throws what listening throws, such as EADDRINUSE; TypeError for an address without a port
 */
export async function listenGrpc(server: Server, options: ListenGrpcOptions): Promise<GrpcListener> {
  const { host, port } = parseAddress(options.address);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const tls = createTlsServer({ ...options, alpnProtocols: ["h2"] }, (socket) => {
    // Node drops connections that break off with an error event; nobody else listens for it until the session does.
    socket.on("error", () => {});
    injector.injectConnection(socket);
  });
  tls.listen(port, host);
  await once(tls, "listening");
  let closed = false;
  const close = (): Promise<void> => {
    if (!closed) tls.close();
    closed = true;
    return Promise.resolve();
  };
  return { port: (tls.address() as AddressInfo).port, close, [Symbol.asyncDispose]: close };
}

/**
 * Credentials for a gRPC client that proves who it is and talks only to authorized servers. The channel uses the newest
 * SVID for each new connection; open streams go on.
 */
export function grpcClientCredentials(options: MtlsOptions): ChannelCredentials {
  const provider = certificateProvider(options.source);
  const channel = experimental.createCertificateProviderChannelCredentials(provider, provider, {
    checkServerIdentity: serverCheck(options),
  });
  // grpc-js names the address to the server as its TLS server name, and Node 26 refuses one that is an IP address
  // (RFC 6066, section 3). What counts here is the identity, so such a server is given a name of no meaning.
  const connect = channel._createSecureConnector.bind(channel);
  channel._createSecureConnector = (target, channelOptions, ...rest) =>
    connect(target, isIpTarget(target.path) ? { [SERVER_NAME]: "spiffe", ...channelOptions } : channelOptions, ...rest);
  return channel;
}

const SERVER_NAME = "grpc.ssl_target_name_override";

/** `127.0.0.1:50051`, `[::1]:50051`, or several of them. */
function isIpTarget(path: string): boolean {
  const host = path.split(",", 1)[0]!.replace(/:\d+$/, "");
  return isIP(host.replace(/^\[|\]$/g, "")) !== 0;
}

/** Who calls: for handlers and interceptors of a server that `listenGrpc` opened. Undefined without mutual TLS. */
export function peerIdOfCall(call: CallWithAuthContext): SpiffeId | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  // The connection was verified as a whole; this only reads the name again.
  return certificate && verifyLeaf(new X509Certificate(certificate.raw));
}

/** Every kind of server call of grpc-js. */
export interface CallWithAuthContext {
  getAuthContext(): { sslPeerCertificate?: { raw: Buffer } | undefined };
}

function certificateProvider(source: X509Source): experimental.CertificateProvider {
  const subscriptions = new Map<unknown, () => void>();
  const subscribe = (listener: unknown, tell: () => void): void => {
    subscriptions.get(listener)?.();
    subscriptions.set(listener, source.onChange(tell));
    // As grpc-js's own provider does: never from within the call that adds the listener.
    process.nextTick(tell);
  };
  const forget = (listener: unknown): void => {
    subscriptions.get(listener)?.();
    subscriptions.delete(listener);
  };
  return {
    addCaCertificateListener: (listener) =>
      subscribe(listener, () => listener({ caCertificate: Buffer.from(authoritiesPem(source)) })),
    addIdentityCertificateListener: (listener) =>
      subscribe(listener, () => {
        const { certPem, keyPem } = source.svid;
        listener({ certificate: Buffer.from(certPem), privateKey: Buffer.from(keyPem) });
      }),
    removeCaCertificateListener: forget,
    removeIdentityCertificateListener: forget,
  };
}

function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address);
  if (!match) throw new TypeError(`address must be host:port or [IPv6]:port, not ${JSON.stringify(address)}`);
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) };
}
