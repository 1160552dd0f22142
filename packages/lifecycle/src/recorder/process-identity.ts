import { readFileSync, readlinkSync } from "node:fs";

/** What tells one process from every other, also from the next one with the same pid: in a container all are pid 1. */
export interface ProcessIdentity {
  pid: number;
  /** Random at each start of the kernel; null where there is no /proc. */
  bootId: string | null;
  /** Which processes the pid counts among; null where there is no /proc. */
  pidNamespace: string | null;
  /** Clock ticks from the kernel's start to the process's; null where there is no /proc. */
  startTicks: number | null;
}

export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    bootId: read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    pidNamespace: read(() => readlinkSync("/proc/self/ns/pid")),
    startTicks: startTicksOf(process.pid),
  };
}

/** When a process of this namespace started; null when there is none, or no /proc. proc(5): fields 3 and 22 of /proc/pid/stat. */
export function startTicksOf(pid: number): number | null {
  return read(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command in brackets, which may itself hold spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie keeps its entry until its parent looks; it is dead all the same.
    if (fields[0] === "Z" || fields[0] === "X") return null;
    const ticks = Number(fields[19]);
    return Number.isFinite(ticks) ? ticks : null;
  });
}

function read<T>(from: () => T): T | null {
  try {
    return from();
  } catch {
    return null;
  }
}

export type LifeSign = "alive" | "dead" | "unknown";

/**
 * Whether a process that left a record still lives. Its pid proves nothing by itself: another may have it now. In the same
 * kernel and namespace its start time settles it; else only silence does.
 *
 * @param silentMs since its last beat
 * @param deadAfterMs how much silence is proof
 * @returns unknown: ask again when more silence has passed
 */
export function lifeSign(
  other: ProcessIdentity,
  own: ProcessIdentity,
  silentMs: number,
  deadAfterMs: number,
  startTicks: (pid: number) => number | null = startTicksOf,
): LifeSign {
  const sameTable =
    own.bootId !== null &&
    own.bootId === other.bootId &&
    own.pidNamespace !== null &&
    own.pidNamespace === other.pidNamespace &&
    other.startTicks !== null;
  if (sameTable) return startTicks(other.pid) === other.startTicks ? "alive" : "dead";
  return silentMs >= deadAfterMs ? "dead" : "unknown";
}
