import { readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, resolve } from "node:path";
import type { FileOwner } from "./postgres-binaries.ts";

/**
 * Somebody with no rights, and with a name: PostgreSQL asks for the name of whoever runs it.
 *
 * @throws Error when this machine has no user "nobody"
 */
export function unprivilegedUser(): FileOwner {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (!uid || !gid) {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user "nobody" to run it as: run this as a plain user',
    );
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** Whether everybody may walk to this path: each directory above it, and itself where it exists already. */
export function isReachableForAll(path: string): boolean {
  const parent = dirname(resolve(path));
  if (parent !== resolve(path) && !isReachableForAll(parent)) return false;
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined || (stats.mode & 0o001) !== 0;
}

/**
 * A directory for temporary files that everybody may walk to. TMPDIR often leads to a place that only its owner may.
 *
 * @throws Error when there is none
 */
export function reachableTmpdir(candidates: readonly string[] = [tmpdir(), "/tmp", "/var/tmp"]): string {
  const found = candidates.find((each) => statSync(each, { throwIfNoEntry: false }) && isReachableForAll(each));
  if (!found)
    throw new Error(`no temporary directory that the user "nobody" can reach: tried ${candidates.join(", ")}`);
  return found;
}
