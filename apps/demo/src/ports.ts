import { once } from "node:events";
import { createServer } from "node:net";

/** A port that somebody wants to listen on. 0 is free always. */
export interface WishedPort {
  port: number;
  /** Default 127.0.0.1. */
  host?: string | undefined;
  /** What is to listen there, such as "the controller's API". */
  what: string;
  /** How to choose another, such as "--port". */
  option: string;
}

/** Ports that cannot be listened on; the message names each with its use and its option. */
export class PortTakenError extends Error {
  override readonly name = "PortTakenError";
  readonly ports: readonly number[];

  constructor(taken: readonly (WishedPort & { reason: string })[]) {
    const lines = taken.map(
      ({ port, what, option, reason }) => `port ${port} (${what}) ${reason}: choose another with ${option}`,
    );
    super(lines.join("\n"));
    this.ports = taken.map(({ port }) => port);
  }
}

/**
 * Tries to listen on every port, before anything is started that would have to be stopped again.
 *
 * @throws PortTakenError naming all that failed, not only the first
 */
export async function checkPorts(wishes: readonly WishedPort[]): Promise<void> {
  const taken: (WishedPort & { reason: string })[] = [];
  const seen = new Set<number>();
  for (const wish of wishes) {
    const reason = seen.has(wish.port) ? "is wanted twice" : await reasonAgainst(wish);
    if (wish.port !== 0) seen.add(wish.port);
    if (reason) taken.push({ ...wish, reason });
  }
  if (taken.length > 0) throw new PortTakenError(taken);
}

async function reasonAgainst({ port, host = "127.0.0.1" }: WishedPort): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ port, host, exclusive: true });
    await once(server, "listening");
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") return "is taken";
    if (code === "EACCES") return "may only be used by root";
    return `cannot be used (${message})`;
  } finally {
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  }
}
