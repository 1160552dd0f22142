import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { HoldfastError, type Logger } from "@holdfast/core";
import type { WatchCommand, WatchData, WatchReport } from "./messages.ts";

/** Measured at 5 MB of live heap; a probe flood stays below 16. */
const HEAP_MB = 32;
const YOUNG_HEAP_MB = 4;

/** The main thread's end of the watch thread. */
export class WatchHost {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #onReport: (report: WatchReport) => void;
  #stopping: Promise<void> | null = null;
  probePort: number | null = null;

  private constructor(worker: Worker, port: MessagePort, onReport: (report: WatchReport) => void) {
    this.#worker = worker;
    this.#port = port;
    this.#onReport = onReport;
  }

  /**
   * Starts the thread and waits until it answers probes.
   *
   * @throws HoldfastError "PROBE_PORT_TAKEN", "PROBE_LISTEN_FAILED" or "WATCH_FAILED"
   */
  static async start(data: WatchData, logger: Logger, onReport: (report: WatchReport) => void): Promise<WatchHost> {
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
    const host = new WatchHost(worker, port1, onReport);
    try {
      await new Promise<void>((resolve, reject) => {
        const fail = (cause: unknown): void =>
          reject(new HoldfastError("WATCH_FAILED", "the watch thread did not start", { cause }));
        worker.once("error", fail);
        worker.once("exit", (code) => fail(new Error(`it exited with code ${code}`)));
        port1.on("message", (report: WatchReport) => {
          if (report.type === "up") {
            host.probePort = report.port;
            worker.removeAllListeners();
            resolve();
          } else if (report.type === "listen-failed") {
            reject(listenError(report, data.probe));
          } else {
            onReport(report);
          }
        });
      });
    } catch (error) {
      port1.close();
      await worker.terminate();
      throw error;
    }
    worker.on("error", (error) =>
      logger.error({ err: error }, "the watch thread failed: probes are no longer answered"),
    );
    // Neither the thread nor the channel is a reason to go on living.
    worker.unref();
    port1.unref();
    return host;
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

  stop(): Promise<void> {
    this.#stopping ??= new Promise((resolve) => {
      this.#worker.removeAllListeners();
      this.#worker.once("exit", () => resolve());
      this.#worker.ref();
      this.send({ type: "stop" });
    });
    return this.#stopping;
  }
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
