import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chownSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { numberOption } from "@holdfast/core";
import { freePort, type Guard, guardChild, guardDirectory } from "@holdfast/testkit";
import { Client } from "pg";
import { type FileOwner, privatePostgresTree } from "./postgres-binaries.ts";
import { isReachableForAll, reachableTmpdir, unprivilegedUser } from "./unprivileged.ts";

export interface EmbeddedPostgresOptions {
  /** Where the data stays after `stop()`, for the next start. Default: a temporary directory that `stop()` removes. */
  dataDir?: string | undefined;
  /** Connections that the server allows. Default 100, from 5 to 1_000. */
  maxConnections?: number | undefined;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** With user and password; for this machine only. */
  readonly url: string;
  readonly port: number;
  readonly maxConnections: number;
  readonly pid: number;
  /** Ends it and removes what it needed. Harmless when called twice. */
  stop(): Promise<void>;
}

const USER = "holdfast";
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const PORT_TRIES = 5;

/**
 * Starts a real PostgreSQL on a free port of 127.0.0.1. It refuses to run as root; there it runs as "nobody". It ends with
 * this process, however that ends.
 *
 * It keeps its data as safe as a demo needs: nothing is forced to disk.
 *
 * @throws Error with the server's last words when it does not start; RangeError for a wrong option
 */
export async function startPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const maxConnections = numberOption("maxConnections", options.maxConnections, 100, {
    min: 5,
    max: 1_000,
    integer: true,
  });
  const owner = process.getuid?.() === 0 ? unprivilegedUser() : undefined;
  const directory = mkdtempSync(join(owner ? reachableTmpdir() : tmpdir(), "holdfast-postgres-"));
  if (owner) chownSync(directory, owner.uid, owner.gid);
  // Until the server runs and has a guard of its own.
  const guard = guardDirectory(directory);
  try {
    const home: Home = { directory, data: options.dataDir ?? join(directory, "data"), owner };
    await privatePostgresTree(join(directory, "postgres"), owner);
    const password = await initialise(home);
    return await start(home, password, maxConnections);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  } finally {
    guard.dismiss();
  }
}

interface Home {
  /** Everything that goes with the server. */
  directory: string;
  data: string;
  /** Whom to run as; undefined: as ourselves. */
  owner: FileOwner | undefined;
}

/** Returns the password, made now or at the first start in this data directory. */
async function initialise({ directory, data, owner }: Home): Promise<string> {
  const passwordFile = join(data, "holdfast.password");
  if (existsSync(passwordFile)) return readFileSync(passwordFile, "utf8");
  if (owner && !isReachableForAll(dirname(data)) && !data.startsWith(directory)) {
    throw new Error(
      `PostgreSQL runs as "nobody", who cannot reach ${data}: choose a dataDir outside of private directories`,
    );
  }
  mkdirSync(data, { recursive: true, mode: 0o700 });
  if (owner) chownSync(data, owner.uid, owner.gid);
  // Anybody on this machine reaches the port, and this user could run programs through COPY: so no trust without it.
  const password = randomBytes(18).toString("base64url");
  const given = join(directory, "password");
  await writeFile(given, password, { mode: 0o600 });
  if (owner) chownSync(given, owner.uid, owner.gid);
  await run(program(directory, "initdb"), initdbArguments(data, given), { directory, data, owner });
  rmSync(given);
  await writeFile(passwordFile, password, { mode: 0o600 });
  return password;
}

function initdbArguments(data: string, passwordFile: string): string[] {
  return [
    `--pgdata=${data}`,
    `--username=${USER}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--no-locale",
    "--encoding=UTF8",
    "--no-sync",
    "--no-instructions",
  ];
}

async function run(path: string, args: string[], { directory, owner }: Home): Promise<void> {
  const child = spawn(path, args, {
    ...owner,
    cwd: directory,
    env: environment(),
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const guard = child.pid === undefined ? undefined : guardChild(child.pid, { directory });
  child.once("exit", () => guard?.dismiss());
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-2_000);
  });
  const ended = once(child, "close") as Promise<[number | null]>;
  const [code] = await ended.catch((cause: NodeJS.ErrnoException) => {
    const hint = cause.code === "EACCES" ? " (is the temporary directory mounted noexec? set TMPDIR to another)" : "";
    throw new Error(`cannot run ${path}: ${cause.message}${hint}`, { cause });
  });
  if (code !== 0) throw new Error(`initdb failed: ${words.trim() || `exit code ${code}`}`);
}

async function start(home: Home, password: string, maxConnections: number): Promise<EmbeddedPostgres> {
  for (let tries = 1; ; tries++) {
    const server = new Server(home, password, await freePort(), maxConnections);
    try {
      await server.ready();
      return server;
    } catch (error) {
      await server.kill();
      // Somebody took the port between our look and the server's bind.
      if (tries < PORT_TRIES && (error as Error).message.includes("Address already in use")) continue;
      throw error;
    }
  }
}

class Server implements EmbeddedPostgres {
  readonly url: string;
  readonly port: number;
  readonly maxConnections: number;
  readonly #directory: string;
  readonly #log: string;
  readonly #child: ChildProcess;
  readonly #guard: Guard | undefined;

  constructor({ directory, data, owner }: Home, password: string, port: number, maxConnections: number) {
    this.port = port;
    this.maxConnections = maxConnections;
    this.url = `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`;
    this.#directory = directory;
    this.#log = join(directory, "postgres.log");
    const log = openSync(this.#log, "w", 0o600);
    this.#child = spawn(program(directory, "postgres"), ["-D", data, ...settings(port, maxConnections)], {
      ...owner,
      cwd: directory,
      env: environment(),
      stdio: ["ignore", log, log],
      // Not in the terminal's foreground group: Ctrl-C is for this process to handle.
      detached: true,
    });
    closeSync(log);
    this.#child.on("error", () => {});
    this.#child.unref();
    // SIGINT is PostgreSQL's fast shutdown: it closes its connections and takes its shared memory with it.
    if (this.#child.pid !== undefined) this.#guard = guardChild(this.#child.pid, { directory, signal: "INT" });
    this.#child.once("exit", () => this.#guard?.dismiss());
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  async ready(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (this.#hasEnded()) throw new Error(`PostgreSQL ended at once: ${this.#lastLines()}`);
      if (performance.now() > deadline) throw new Error(`PostgreSQL does not answer: ${this.#lastLines()}`);
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    if (!(await this.#end("SIGINT", STOP_TIMEOUT_MS))) await this.#end("SIGKILL", STOP_TIMEOUT_MS);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Ends it at once, and keeps the directory for another try. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL", STOP_TIMEOUT_MS);
  }

  async #end(signal: NodeJS.Signals, timeoutMs: number): Promise<boolean> {
    if (this.#hasEnded()) return true;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    return await Promise.race([ended.then(() => true), delay(timeoutMs, false)]);
  }

  #hasEnded(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid === undefined || exitCode !== null || signalCode !== null;
  }

  /** Whether it takes our password: another server that was quicker to bind the port would not. */
  async #answers(): Promise<boolean> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 2_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  }

  #lastLines(): string {
    return readFileSync(this.#log, "utf8").trim().split("\n").slice(-6).join(" | ") || "it wrote nothing";
  }
}

function program(directory: string, name: string): string {
  return join(directory, "postgres", "bin", name);
}

/** None of the caller's: PG* and LC_* variables change what PostgreSQL's programs do. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" };
}

function settings(port: number, maxConnections: number): string[] {
  const values: Record<string, string | number> = {
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: "",
    max_connections: maxConnections,
    // Files of the data directory instead of /dev/shm, which containers keep small and a SIGKILL leaves littered.
    dynamic_shared_memory_type: "mmap",
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    timezone: "UTC",
    log_timezone: "UTC",
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
