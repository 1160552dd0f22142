import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Ports below the range from which kernels take a client's own port (Linux from 32768, others from 49152). A client that
 * dials a dead server's port over and over is otherwise given that very port in the end, connects to itself, and the
 * server cannot come back.
 */
const FIRST_PORT = 10_240;
const LAST_PORT = 32_767;
const TRIES = 50;

/**
 * Finds a TCP port on 127.0.0.1 that nobody listens on. Whoever can listen on port 0 should: between this answer and its
 * use another process may take the port.
 *
 * @throws Error when 50 ports in a row were taken
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port found on 127.0.0.1 between ${FIRST_PORT} and ${LAST_PORT} in ${TRIES} tries`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  }
}
