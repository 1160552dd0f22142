import { Agent, type AgentOptions } from "node:https";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { messageOf, numberOption, rateLimitedLogger, silentLogger } from "@holdfast/core";
import type { MtlsOptions } from "./mtls-options.ts";
import { PeerRejectedError } from "./peer-rejected-error.ts";
import { tlsContext } from "./tls-context.ts";
import { verifyServer } from "./verify-connection.ts";

/** What `tls.connect()` needs beyond the address, for one connection made now. */
export type ClientTlsOptions = Pick<
  ConnectionOptions,
  "secureContext" | "rejectUnauthorized" | "checkServerIdentity" | "minVersion"
>;

/** Gives the TLS options of each new connection; the context behind them is made once per rotation. */
export interface ClientTls {
  current(): ClientTlsOptions;
  /** No longer follows the source. */
  close(): void;
}

export function clientTls(options: MtlsOptions & { onRotate?: (() => void) | undefined }): ClientTls {
  const { source, onRotate } = options;
  let context: SecureContext | undefined;
  const close = source.onChange(() => {
    context = undefined;
    onRotate?.();
  });
  const checkServerIdentity = serverCheck(options);
  return {
    current() {
      context ??= createSecureContext(tlsContext(source));
      return { secureContext: context, rejectUnauthorized: true, checkServerIdentity };
    },
    close,
  };
}

/** In the form that `tls.connect()` wants: an error where others throw. */
export function serverCheck(options: MtlsOptions): NonNullable<ConnectionOptions["checkServerIdentity"]> {
  const log = rateLimitedLogger(options.logger ?? silentLogger, { clock: options.clock });
  return (host, certificate) => {
    try {
      verifyServer(certificate, options);
      return undefined;
    } catch (error) {
      log.warn({ peer: host, error: messageOf(error) }, "refused a server");
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  };
}

/**
 * An `https.Agent` that proves who this process is and talks only to authorized servers. After a rotation idle
 * connections are closed and new ones use the new SVID; those in use go on.
 */
export class MtlsAgent extends Agent {
  readonly #tls: ClientTls;

  constructor(options: MtlsOptions & { agent?: AgentOptions | undefined }) {
    super({ keepAlive: true, ...options.agent, maxCachedSessions: 0 });
    this.#tls = clientTls({ ...options, onRotate: () => this.#closeIdle() });
  }

  override createConnection(
    options: Parameters<Agent["createConnection"]>[0],
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = super.createConnection({ ...options, ...this.#tls.current() }, callback);
    if (socket) refuseResumed(socket as TLSSocket);
    return socket;
  }

  override destroy(): void {
    this.#tls.close();
    super.destroy();
  }

  #closeIdle(): void {
    for (const sockets of Object.values(this.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }
}

/** What undici tells its connector; structural, so that no undici is needed to use this package. */
export interface UndiciTarget {
  hostname: string;
  protocol: string;
  port: string;
  servername?: string | undefined;
  localAddress?: string | null | undefined;
}

export type UndiciCallback = (...outcome: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void;

export interface UndiciConnectorOptions extends MtlsOptions {
  /** How long connecting and the handshake may take, in milliseconds. Default 10_000, from 1 to 600_000. */
  connectTimeoutMs?: number | undefined;
}

/**
 * A connector for undici: `new Agent({ connect: undiciConnector({ source, authorize }) })`. Each new connection uses the
 * newest SVID. undici keeps its connections as long as they are used: give its `clientTtl` a bound, for example half the
 * life of an SVID. Plain http is refused.
 */
export function undiciConnector(
  options: UndiciConnectorOptions,
): (target: UndiciTarget, callback: UndiciCallback) => void {
  const timeoutMs = numberOption("connectTimeoutMs", options.connectTimeoutMs, 10_000, { min: 1, max: 600_000 });
  const tls = clientTls(options);
  return (target, callback) => {
    const { hostname, protocol, servername, localAddress } = target;
    if (protocol !== "https:") {
      callback(new TypeError(`mutual TLS is for https, not for ${protocol}//${hostname}`), null);
      return;
    }
    let socket: TLSSocket;
    try {
      socket = connect({
        host: hostname.replace(/^\[|\]$/g, ""),
        port: Number(target.port || 443),
        ...(servername && { servername }),
        ...(localAddress && { localAddress }),
        ALPNProtocols: ["http/1.1"],
        ...tls.current(),
      });
    } catch (error) {
      callback(error as Error, null);
      return;
    }
    refuseResumed(socket);
    socket.setKeepAlive(true, 60_000).setNoDelay(true);
    const onTimeout = (): void => void socket.destroy(new Error(`no TLS connection within ${timeoutMs} ms`));
    socket.setTimeout(timeoutMs, onTimeout);
    const onError = (error: Error): void => callback(error, null);
    socket.once("error", onError);
    socket.once("secureConnect", () => {
      if (socket.destroyed) return;
      socket.setTimeout(0).removeListener("timeout", onTimeout);
      socket.removeListener("error", onError);
      callback(null, socket);
    });
  };
}

/** No session is ever offered; should one be resumed all the same, nobody has looked at a certificate. */
function refuseResumed(socket: TLSSocket): void {
  socket.prependOnceListener("secureConnect", () => {
    if (socket.isSessionReused())
      socket.destroy(new PeerRejectedError("resumed", "the server resumed an earlier TLS session"));
  });
}
