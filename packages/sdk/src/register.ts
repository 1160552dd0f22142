import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { isMainThread } from "node:worker_threads";
import { HoldfastError, jsonLogger, messageOf, systemClock } from "@holdfast/core";
import type { DrainableServer, Lifecycle } from "@holdfast/lifecycle";
import type { Holdfast } from "./holdfast.ts";
import { registered } from "./registered.ts";
import { start } from "./start.ts";

/** Node's own: told of every server of net, http, https and http2 that listens. */
const LISTENING = "tracing:net.server.listen:asyncEnd";
/** A process that has no server by then is a worker, and as ready as it will be. */
const READY_WITHOUT_SERVER_MS = 5_000;

// Worker threads inherit --import, the one that answers the probes among them.
if (isMainThread) {
  registered.current ??= register();
  // The module that is imported next must find everything patched.
  await registered.current;
}

/** Everything by environment. Whatever fails here costs a log line and never the service. */
async function register(): Promise<Holdfast | null> {
  try {
    const hf = await startWithProbesIfPossible();
    followServers(hf.lifecycle);
    return hf;
  } catch (error) {
    jsonLogger().error({ error: messageOf(error) }, "holdfast did not start: the service runs without it");
    return null;
  }
}

async function startWithProbesIfPossible(): Promise<Holdfast> {
  try {
    return await start({});
  } catch (error) {
    if (!HoldfastError.is(error) || !error.code.startsWith("PROBE_")) throw error;
    const hf = await start({ probe: false });
    hf.log.warn({ error: messageOf(error) }, "no probes are answered");
    return hf;
  }
}

/** Drains whatever listens, and is ready as soon as something does. */
function followServers(lifecycle: Lifecycle): void {
  const onListening = (message: unknown): void => {
    const { server } = message as { server: DrainableServer };
    // A bare TCP server has no requests to drain.
    if ("keepAliveTimeout" in server || "updateSettings" in server) lifecycle.adopt(server);
    lifecycle.ready();
  };
  subscribe(LISTENING, onListening);
  const timer = systemClock.after(READY_WITHOUT_SERVER_MS, () => lifecycle.ready());
  lifecycle.signal.addEventListener("abort", () => {
    timer.cancel();
    unsubscribe(LISTENING, onListening);
  });
}
