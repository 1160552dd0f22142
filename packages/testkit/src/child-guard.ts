import { spawn } from "node:child_process";

export interface Guard {
  /** Nothing is left to guard. For a child, call it as soon as its end is known: its pid may soon be another's. */
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
wait_for_end() {
  tries=0
  while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
}
if read -r word; then exit 0; fi
if [ -n "$1" ]; then
  kill -"$2" "$1" 2>/dev/null
  wait_for_end "$1"
  kill -KILL "$1" 2>/dev/null && wait_for_end "$1"
fi
if [ -n "$3" ]; then rm -rf -- "$3"; fi
`;

/**
 * Ends a child process when this process ends, whichever way: a return from main, an uncaught exception, SIGINT, SIGKILL.
 * A small shell of its own session watches; it needs a POSIX `sh`.
 */
export function guardChild(pid: number, options: ChildGuardOptions = {}): Guard {
  const { directory = "", signal = "KILL" } = options;
  return guard(String(pid), signal, directory);
}

/** Removes a directory when this process ends without having done so. */
export function guardDirectory(directory: string): Guard {
  return guard("", "KILL", directory);
}

function guard(pid: string, signal: string, directory: string): Guard {
  const shell = spawn("/bin/sh", ["-c", GUARD, "holdfast-guard", pid, signal, directory], {
    // Its own session, so that Ctrl-C in the terminal does not end the guard before the parent.
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.on("error", () => {});
  shell.unref();
  const pipe = shell.stdin;
  pipe.on("error", () => {});
  (pipe as unknown as { unref?(): void }).unref?.();
  return { dismiss: () => void pipe.end("dismissed\n") };
}
