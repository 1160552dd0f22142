import type { ServerResponse } from "node:http";
import { constants, type Http2SecureServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { type Clock, sleep, type Timer } from "@holdfast/core";
import { type Drain, REAP_EVERY_MS, Sockets, UNUSED_GRACE_MS } from "./drain-http.ts";

/** RFC 9113, section 6.8: the highest stream there can be says "open no more", and refuses none that is on its way. */
const ANY_STREAM = 2 ** 31 - 1;

/** What a server with allowHTTP1 has and the types do not say. */
interface Http1Connections {
  closeIdleConnections?(): void;
}

/**
 * Ends an HTTP/2 server without losing a stream: first the notice of RFC 9113, section 6.8, which makes clients open their
 * next stream elsewhere, then, a round trip later, the end of each session when its streams are done.
 */
export function drainHttp2(server: Http2Server | Http2SecureServer, clock: Clock): Drain {
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Sockets(server, clock);
  (server as Http2Server).on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  let announced = false;
  // A secure server may speak HTTP/1.1 too (allowHTTP1); there the answer itself says that it is the last. A server that
  // takes streams, as grpc-js does, must be spared: the first listener to requests makes Node answer each stream itself.
  if (server.listenerCount("request") > 0) {
    (server as Http2SecureServer).prependListener("request", (request, response) => {
      if (announced && request.httpVersionMajor === 1) (response as unknown as ServerResponse).shouldKeepAlive = false;
    });
  }
  const notify = (): void => {
    announced = true;
    for (const session of sessions) {
      if (!session.closed && !session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM);
    }
  };
  return {
    announce: notify,
    async drain(signal) {
      notify();
      await sleep(clock, REAP_EVERY_MS, signal).catch(() => {});
      await new Promise<void>((resolve) => {
        let timer: Timer | undefined;
        const reap = (): void => {
          (server as Http1Connections).closeIdleConnections?.();
          sockets.destroyUnused(UNUSED_GRACE_MS);
          timer = clock.after(REAP_EVERY_MS, reap);
        };
        const cut = (): void => {
          for (const session of sessions) session.destroy();
          sockets.destroyAll();
        };
        (server as Http2Server).close(() => {
          timer?.cancel();
          signal.removeEventListener("abort", cut);
          resolve();
        });
        for (const session of sessions) session.close();
        reap();
        if (signal.aborted) cut();
        else signal.addEventListener("abort", cut, { once: true });
      });
    },
  };
}
