import type { AddressInfo, Server } from "node:net";
import { HoldfastError } from "@holdfast/core";

export interface ListenOptions {
  host: string;
  port: number;
  /** The option that names the port, for whoever finds it taken. */
  option: string;
}

/**
 * Makes a server listen.
 *
 * @returns the port, which is another than the one asked for when that was 0
 * @throws HoldfastError PORT_TAKEN when somebody else listens there, ADDRESS_UNUSABLE when this machine cannot
 */
export function listen(server: Server, options: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenError(error, options));
    server.once("error", onError);
    server.listen(options.port, options.host, () => {
      server.off("error", onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** The error that tells people which option to change. */
export function listenError(error: Error, { host, port, option }: ListenOptions): HoldfastError {
  if (error.message.includes("EADDRINUSE"))
    return new HoldfastError("PORT_TAKEN", `port ${port} on ${host} is taken; choose another with ${option}`, {
      cause: error,
    });
  return new HoldfastError(
    "ADDRESS_UNUSABLE",
    `cannot listen on ${host}:${port} (${option}, --host): ${error.message}`,
    {
      cause: error,
    },
  );
}
