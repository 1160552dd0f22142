import type { RequestListener } from "node:http";
import { createServer as createHttps, type Server as HttpsServer } from "node:https";
import { createServer as createTls, type TLSSocket, type TlsOptions, type Server as TlsServer } from "node:tls";
import { messageOf, rateLimitedLogger, silentLogger } from "@holdfast/core";
import type { MtlsOptions } from "./mtls-options.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { tlsContext } from "./tls-context.ts";
import { verifyClient } from "./verify-connection.ts";

const clients = new WeakMap<object, SpiffeId>();

/**
 * Makes an HTTPS server that only clients with an authorized X.509-SVID reach. New connections use the source's newest
 * SVID and bundles; open ones go on undisturbed.
 *
 * For Fastify: `Fastify({ serverFactory: (handler) => createHttpsServer({ source, authorize }, handler) })`.
 */
export function createHttpsServer(options: MtlsOptions, listener?: RequestListener): HttpsServer {
  const server = createHttps(serverOptions(options), listener);
  guard(server, options);
  return server;
}

/** The same for any protocol over TLS: `onConnection` gets clients that were verified, and nobody else. */
export function createTlsServer(
  options: MtlsOptions & { alpnProtocols?: readonly string[] | undefined },
  onConnection: (socket: TLSSocket, peer: SpiffeId) => void,
): TlsServer {
  const { alpnProtocols } = options;
  const server = createTls({
    ...serverOptions(options),
    ...(alpnProtocols && { ALPNProtocols: [...alpnProtocols] }),
  });
  guard(server, options);
  server.on("secureConnection", (socket) => {
    const peer = clients.get(socket);
    if (peer && !socket.destroyed) onConnection(socket, peer);
  });
  return server;
}

/** Who is at the other end of a connection that one of these servers accepted: `peerIdOf(request.socket)`. */
export function peerIdOf(socket: object): SpiffeId | undefined {
  return clients.get(socket);
}

function serverOptions({ source }: MtlsOptions): TlsOptions {
  return { ...tlsContext(source), requestCert: true, rejectUnauthorized: true };
}

function guard(server: TlsServer, options: MtlsOptions): void {
  const { source, clock, logger = silentLogger } = options;
  const log = rateLimitedLogger(logger, { clock });
  // First among the listeners: a client that is refused here never reaches a parser, still less a handler.
  server.prependListener("secureConnection", (socket) => {
    try {
      clients.set(socket, verifyClient(socket, options));
    } catch (error) {
      log.warn({ peer: socket.remoteAddress, error: messageOf(error) }, "refused a client");
      socket.destroy();
    }
  });
  server.on("tlsClientError", (error, socket) => {
    // Where OpenSSL distrusts a certificate Node hangs up, and the error only says that somebody hung up.
    const reason = socket.authorizationError ?? messageOf(error);
    log.warn({ peer: socket.remoteAddress, error: String(reason) }, "a TLS handshake failed");
  });
  const forget = source.onChange(() => {
    try {
      server.setSecureContext(tlsContext(source));
    } catch (error) {
      // What was there stays in force.
      logger.error({ error: messageOf(error) }, "the rotated SVID could not be put into use");
    }
  });
  server.once("close", forget);
}
