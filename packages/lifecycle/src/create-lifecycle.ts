import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "@holdfast/core";
import type { Lifecycle, LifecycleOptions } from "./lifecycle.ts";
import { CrashRecorder } from "./recorder/crash-recorder.ts";
import { Lineage } from "./recorder/lineage.ts";
import { privateFolder } from "./recorder/private-folder.ts";
import { ownIdentity } from "./recorder/process-identity.ts";
import type { RecordedIdentity } from "./recorder/record-types.ts";
import { type ResolvedOptions, resolveLifecycleOptions } from "./resolve-options.ts";
import { type Recording, RunningLifecycle } from "./running-lifecycle.ts";

/**
 * Starts the lifecycle of this process: probes are answered when this resolves, and /readyz says "starting" until `ready()`
 * or `serve()`.
 *
 * A state folder that cannot be used costs the crash stories and a line in the log, never the start.
 *
 * @throws HoldfastError "PROBE_PORT_TAKEN" or "PROBE_LISTEN_FAILED", naming port and option; RangeError or TypeError
 *   naming an option that is wrong; RangeError with the sum when the shutdown does not fit `graceMs`
 */
export async function createLifecycle(options: LifecycleOptions): Promise<Lifecycle> {
  const resolved = resolveLifecycleOptions(options);
  const identity: RecordedIdentity = {
    ...ownIdentity(),
    incarnation: randomBytes(8).toString("hex"),
    service: resolved.service,
    instance: resolved.instance,
    bornAtMs: performance.timeOrigin,
    resource: resolved.resource,
  };
  const recording = startRecording(resolved, identity, options.stateDir === undefined);
  try {
    return await RunningLifecycle.start(resolved, identity, recording);
  } catch (error) {
    // It never lived as far as anybody outside could see: no death to tell.
    if (recording) rmSync(recording.lineage.recordPath, { force: true });
    throw error;
  }
}

function startRecording(
  { stateDir, clock, logger }: ResolvedOptions,
  identity: RecordedIdentity,
  isDefault: boolean,
): Recording | null {
  if (stateDir === null) return null;
  try {
    if (isDefault) {
      // In the shared temporary directory anybody may have made them before.
      privateFolder(dirname(stateDir));
      privateFolder(stateDir);
    }
    const lineage = new Lineage(stateDir, identity, clock, logger);
    const record = (): CrashRecorder =>
      new CrashRecorder(lineage.recordPath, identity, (error) => {
        const fields = { stateDir, error: messageOf(error) };
        logger.warn(fields, "the crash recorder stopped: a death from now on is not told in full");
      });
    const recorder = lineage.withFolder(record);
    return { recorder, lineage };
  } catch (error) {
    logger.warn(
      { stateDir, error: messageOf(error) },
      "no crash recorder: a death of this process will not be told (option stateDir)",
    );
    return null;
  }
}
