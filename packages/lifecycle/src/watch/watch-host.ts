import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { HoldfastError, type Logger, messageOf } from "@holdfast/core";
import type { WatchCommand, WatchData, WatchReport } from "./messages.ts";

/** Measured at 5 MB of live heap; a probe flood stays below 16. */
const HEAP_MB = 32;
const YOUNG_HEAP_MB = 4;

/** How long the thread may take to stop before it is made to. */
const STOP_WITHIN_MS = 1_000;

/** The main thread's end of the watch thread. */
export class WatchHost {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #exited: Promise<void>;
  readonly #onReport: (report: WatchReport) => void;
  /** Null when no probes are answered. */
  readonly probePort: number | null;

  private constructor(started: Started, probePort: number | null, onReport: (report: WatchReport) => void) {
    this.#worker = started.worker;
    this.#port = started.port;
    this.#exited = started.exited;
    this.#onReport = onReport;
    this.probePort = probePort;
  }

  /**
   * Starts the thread and waits until it answers probes.
   *
   * @throws HoldfastError "PROBE_PORT_TAKEN", "PROBE_LISTEN_FAILED" or "WATCH_FAILED"
   */
  static async start(data: WatchData, logger: Logger, onReport: (report: WatchReport) => void): Promise<WatchHost> {
    const started = startThread(data);
    const { worker, port, exited } = started;
    try {
      const probePort = await new Promise<number | null>((resolve, reject) => {
        worker.once("error", (cause) => {
          // One that comes later can only be said: the promise is settled.
          logger.error({ error: messageOf(cause) }, "the watch thread failed: probes are not answered");
          reject(new HoldfastError("WATCH_FAILED", "the watch thread failed", { cause }));
        });
        void exited.then(() => reject(new HoldfastError("WATCH_FAILED", "the watch thread ended")));
        port.on("message", (report: WatchReport) => {
          if (report.type === "up") resolve(report.port);
          else if (report.type === "listen-failed") reject(listenError(report, data.probe));
          else onReport(report);
        });
      });
      // Neither the thread nor the channel is a reason to go on living.
      worker.unref();
      port.unref();
      return new WatchHost(started, probePort, onReport);
    } catch (error) {
      port.close();
      await worker.terminate();
      throw error;
    }
  }

  send(command: WatchCommand): void {
    this.#port.postMessage(command);
  }

  /** Reads what the thread has sent by now, without waiting for the event loop. */
  drain(): void {
    for (let next = receiveMessageOnPort(this.#port); next; next = receiveMessageOnPort(this.#port)) {
      this.#onReport(next.message as WatchReport);
    }
  }

  async stop(): Promise<void> {
    this.#worker.ref();
    this.send({ type: "stop" });
    const overdue = setTimeout(() => void this.#worker.terminate(), STOP_WITHIN_MS);
    await this.#exited;
    clearTimeout(overdue);
    this.#port.close();
  }
}

interface Started {
  worker: Worker;
  port: MessagePort;
  exited: Promise<void>;
}

function startThread(data: WatchData): Started {
  const { port1, port2 } = new MessageChannel();
  // The same file from source and from the build; only its ending differs.
  const fromSource = import.meta.url.endsWith(".ts");
  const file = fromSource
    ? new URL("./watch-thread.ts", import.meta.url)
    : new URL("./watch-thread.js", import.meta.url);
  const worker = new Worker(file, {
    name: "holdfast-watch",
    workerData: { data, port: port2 },
    transferList: [port2],
    // Neither the flags nor the environment of the process: a preloaded module belongs to the application, not here.
    execArgv: fromSource ? ["--conditions=@holdfast/source"] : [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
  });
  return { worker, port: port1, exited: new Promise((resolve) => worker.once("exit", () => resolve())) };
}

function listenError(report: { code: string; message: string }, probe: WatchData["probe"]): HoldfastError {
  const at = `${probe?.host}:${probe?.port}`;
  return report.code === "EADDRINUSE"
    ? new HoldfastError(
        "PROBE_PORT_TAKEN",
        `the probe port ${at} is taken by somebody else: choose another one with the option probe.port, or 0 for any`,
      )
    : new HoldfastError("PROBE_LISTEN_FAILED", `probes cannot be answered at ${at} (option probe): ${report.message}`);
}
