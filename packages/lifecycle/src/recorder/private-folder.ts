import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { HoldfastError } from "@holdfast/core";

/**
 * Makes a folder that only this user can look into, or makes sure that it is one: in a shared temporary directory anybody
 * may have been there first.
 *
 * @throws HoldfastError "STATE_DIR_UNSAFE" when it is a link or somebody else's; what the file system throws
 */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  const uid = process.getuid?.();
  if (!stat.isDirectory() || (uid !== undefined && stat.uid !== uid)) {
    throw new HoldfastError("STATE_DIR_UNSAFE", `${path} is not a folder of this user's own`);
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
}
