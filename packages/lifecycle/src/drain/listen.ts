import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { type Clock, HoldfastError } from "@holdfast/core";
import type { DrainableServer, FastifyLike, ServableApp, ServeOptions } from "../lifecycle.ts";
import { type Drain, drainHttp } from "./drain-http.ts";
import { drainHttp2 } from "./drain-http2.ts";

/** An application that can be made to listen, and be drained. */
export interface Servable {
  server: DrainableServer;
  listen(port: number, host: string): Promise<unknown>;
  /** Ends what is above the server, after it was drained. */
  close?: (() => PromiseLike<unknown>) | undefined;
}

/** @throws TypeError when it is nothing that can be served */
export function servableOf(app: ServableApp): Servable {
  if (typeof app === "function") return plainServer(createServer(app));
  if (isFastify(app)) {
    return { server: app.server, listen: (port, host) => app.listen({ port, host }), close: () => app.close() };
  }
  if (typeof app?.listen === "function" && typeof app.close === "function") return plainServer(app);
  throw new TypeError("app must be a server of node:http, https or http2, a Fastify instance or a request listener");
}

function isFastify(app: DrainableServer | FastifyLike): app is FastifyLike {
  return typeof (app as Partial<FastifyLike>)?.server?.on === "function" && typeof app.listen === "function";
}

function plainServer(server: DrainableServer): Servable {
  return {
    server,
    listen: (port, host) =>
      new Promise<void>((resolve, reject) => {
        const net = server as Server;
        net.once("error", reject);
        net.listen({ port, host }, () => {
          net.removeListener("error", reject);
          resolve();
        });
      }),
  };
}

/** Which way of draining fits a server. */
export function drainOf(server: DrainableServer, clock: Clock): Drain {
  // The classes of a server behind a patched createServer may be others than ours; the method is not.
  const http2 = "updateSettings" in server;
  return http2 ? drainHttp2(server as Parameters<typeof drainHttp2>[0], clock) : drainHttp(server as HttpServer, clock);
}

/** @returns the port that it listens on @throws HoldfastError "PORT_TAKEN"; what listen throws otherwise */
export async function listenOn(servable: Servable, options: ServeOptions): Promise<number> {
  const { port, host = "0.0.0.0" } = options;
  try {
    await servable.listen(port, host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new HoldfastError(
      "PORT_TAKEN",
      `the port ${port} on ${host} is taken: choose another one with the option port`,
      {
        cause: error,
      },
    );
  }
  return ((servable.server as Server).address() as AddressInfo).port;
}
