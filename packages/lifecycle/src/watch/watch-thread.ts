// Runs in a worker thread, so that probes are answered while the main thread is blocked.
import type { AddressInfo } from "node:net";
import { type MessagePort, workerData } from "node:worker_threads";
import { newSpanId, newTraceId } from "@holdfast/core";
import type { WatchCommand, WatchData, WatchReport } from "./messages.ts";
import { createProbeServer } from "./probe-server.ts";
import { machineMs, SharedStatus } from "./shared-status.ts";
import { WATCH_EVERY_MS, Watch } from "./watch.ts";
import { openWatchRecord } from "./watch-record.ts";

const { data, port } = workerData as { data: WatchData; port: MessagePort };
const send = (report: WatchReport): void => port.postMessage(report);
const record = openWatchRecord(data.recordPath);
const watch = new Watch({
  ...data,
  status: new SharedStatus(data.status),
  record,
  send,
  nowMs: Date.now,
  machineMs,
  ids: { traceId: newTraceId, spanId: newSpanId },
  kill: () => {
    // The kernel keeps signals of its own from the first process of a container.
    if (process.pid !== 1) process.kill(process.pid, "SIGKILL");
  },
});
const ticking = setInterval(() => watch.tick(), WATCH_EVERY_MS);
watch.tick();

const server =
  data.probe &&
  createProbeServer(
    (path) => watch.answer(path),
    (measurement) => watch.measured(measurement),
  );
if (server && data.probe) {
  server.on("error", (error: NodeJS.ErrnoException) => {
    send({ type: "listen-failed", code: error.code ?? "UNKNOWN", message: error.message });
  });
  server.listen(data.probe, () => send({ type: "up", port: (server.address() as AddressInfo).port }));
} else {
  send({ type: "up", port: null });
}

port.on("message", (command: WatchCommand) => {
  if (command.type !== "stop") {
    watch.command(command);
    return;
  }
  clearInterval(ticking);
  server?.close();
  server?.closeAllConnections();
  record.close();
  send({ type: "stopped" });
  port.close();
});
