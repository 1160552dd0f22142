import { spawn } from "node:child_process";

export interface ChildGuard {
  /** The child has ended by itself or was waited for: forget it. Call it as soon as that is known, before its pid is reused. */
  dismiss(): void;
}

export interface ChildGuardOptions {
  /** A directory to remove once the child is dead. */
  directory?: string | undefined;
  /** What the child gets first. Default "KILL". A child that outlives TERM or INT by 5 s gets KILL. */
  signal?: "KILL" | "TERM" | "INT" | "QUIT" | undefined;
}

// The pipe on its standard input is open as long as the parent lives. A line on it means "dismissed"; its end means that
// the parent is gone, however it went: even after SIGKILL, where no handler of the parent could run.
const GUARD = `
if read -r word; then exit 0; fi
kill -"$2" "$1" 2>/dev/null
if [ "$2" != KILL ]; then
  tries=0
  while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$1" 2>/dev/null
fi
if [ -n "$3" ]; then
  tries=0
  while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  rm -rf -- "$3"
fi
`;

/**
 * Ends a child process when this process ends, whichever way: a return from main, an uncaught exception, SIGINT, SIGKILL.
 * A small shell of its own session watches; it needs a POSIX `sh`.
 */
export function guardChild(pid: number, options: ChildGuardOptions = {}): ChildGuard {
  const { directory = "", signal = "KILL" } = options;
  const guard = spawn("/bin/sh", ["-c", GUARD, "holdfast-guard", String(pid), signal, directory], {
    // Its own session, so that Ctrl-C in the terminal does not end the guard before the parent.
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.on("error", () => {});
  guard.unref();
  const pipe = guard.stdin;
  pipe.on("error", () => {});
  (pipe as unknown as { unref?(): void }).unref?.();
  return { dismiss: () => void pipe.end("dismissed\n") };
}
