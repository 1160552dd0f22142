import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { HoldfastError, messageOf } from "@holdfast/core";
import { type Guard, guardChild, guardDirectory } from "./child-guard.ts";
import { freePort } from "./free-port.ts";

export interface StartRedisOptions {
  /** The server's binary: a path, or a name looked up on PATH. Default "redis-server". */
  binary?: string | undefined;
  /** More arguments, such as `["--requirepass", "secret"]`; they win over those set here. */
  args?: readonly string[] | undefined;
}

/** A real Redis of one's own, on a free port of 127.0.0.1, that keeps nothing on disk and ends with this process. */
export interface PrivateRedis extends AsyncDisposable {
  /** `redis://127.0.0.1:<port>`. The same after a restart. */
  readonly url: string;
  readonly port: number;
  /** Of the running server; another one after a restart. */
  readonly pid: number;
  /** Ends the server and waits until it is gone. Default SIGKILL. Its data is lost. */
  kill(signal?: "SIGKILL" | "SIGTERM" | "SIGINT"): Promise<void>;
  /** Starts the server again on the same port, empty; a running one is killed first. */
  restart(): Promise<void>;
  /** Stops the server in its tracks (SIGSTOP): connections stay open and nobody answers. */
  pause(): void;
  /** Lets a paused server go on. */
  resume(): void;
  /** Ends the server and removes its directory. */
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;
const PORT_TRIES = 5;

/** Whether `startRedis()` would find a server to start. */
export function hasRedis(binary = "redis-server"): boolean {
  return findBinary(binary) !== undefined;
}

/**
 * Starts a private Redis and waits until it answers.
 *
 * @throws HoldfastError REDIS_NOT_FOUND when there is no binary, REDIS_START_FAILED with the server's last words when it
 *   did not come up within 10 s
 */
export async function startRedis(options: StartRedisOptions = {}): Promise<PrivateRedis> {
  const { binary = "redis-server", args = [] } = options;
  const path = findBinary(binary);
  if (!path) {
    throw new HoldfastError(
      "REDIS_NOT_FOUND",
      `no ${binary} on PATH: install the package redis-server (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis)`,
    );
  }
  for (let tries = 1; ; tries++) {
    const redis = new RedisProcess(path, args, await freePort());
    try {
      await redis.start();
      return redis;
    } catch (error) {
      await redis.close();
      // Somebody took the port between our look and the server's bind.
      if (tries < PORT_TRIES && messageOf(error).includes("Address already in use")) continue;
      throw error;
    }
  }
}

class RedisProcess implements PrivateRedis {
  readonly port: number;
  readonly url: string;
  readonly #path: string;
  readonly #args: readonly string[];
  readonly #directory: string;
  #child: ChildProcess | undefined;
  /** For as long as the directory is there; the server may be killed and restarted meanwhile. */
  readonly #guard: Guard;

  constructor(path: string, args: readonly string[], port: number) {
    this.#path = path;
    this.#args = args;
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#directory = mkdtempSync(join(tmpdir(), "holdfast-redis-"));
    this.#guard = guardDirectory(this.#directory);
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new HoldfastError("REDIS_NOT_RUNNING", "this Redis was killed and not restarted");
    return pid;
  }

  async start(): Promise<void> {
    const logFile = join(this.#directory, "redis.log");
    const log = openSync(logFile, "w");
    const listen = ["--bind", "127.0.0.1", "--port", String(this.port)];
    const keepNothing = ["--dir", this.#directory, "--save", "", "--appendonly", "no", "--daemonize", "no"];
    const child = spawn(this.#path, [...listen, ...keepNothing, ...this.#args], {
      stdio: ["ignore", log, log],
      cwd: this.#directory,
      // Not in the terminal's foreground group: Ctrl-C is for this process to handle.
      detached: true,
    });
    closeSync(log);
    child.unref();
    const failed = (reason: string): HoldfastError =>
      new HoldfastError("REDIS_START_FAILED", `${this.#path} ${reason}: ${lastLines(logFile)}`);
    if (child.pid === undefined) {
      const [error] = (await once(child, "error")) as [Error];
      throw failed(`could not be started (${error.message})`);
    }
    const pid = child.pid;
    const guard = guardChild(pid);
    child.once("exit", () => {
      guard.dismiss();
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(this.port, pid))) {
      if (child.exitCode !== null || child.signalCode !== null) throw failed("ended at once");
      if (performance.now() > deadline) throw failed(`did not answer within ${START_TIMEOUT_MS} ms`);
      await delay(5);
    }
  }

  async kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const gone = once(child, "exit");
    // unref() keeps a forgotten server from holding the process; somebody who awaits its end must be held.
    child.ref();
    child.kill(signal);
    // A paused process takes no signal but SIGKILL until it goes on.
    if (signal !== "SIGKILL") child.kill("SIGCONT");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  pause(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
    this.#guard.dismiss();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function findBinary(binary: string): string | undefined {
  const candidates = binary.includes("/")
    ? [binary]
    : (process.env.PATH ?? "").split(delimiter).map((directory) => join(directory, binary));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whether the server that answers on the port is ours: another one may have been quicker to bind it. */
function answers(port: number, pid: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let reply = "";
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on("connect", () => socket.write("INFO server\r\n"));
    socket.on("data", (chunk) => {
      reply += chunk.toString("latin1");
      // With a password set INFO is refused; the refusal is an answer too.
      if (reply.startsWith("-NO") || /process_id:\d+\r\n/.test(reply)) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(reply.startsWith("-NO") || reply.includes(`process_id:${pid}\r\n`)));
  });
}

function lastLines(file: string): string {
  try {
    return readFileSync(file, "utf8").trim().split("\n").slice(-5).join(" | ") || "it wrote nothing";
  } catch {
    return "it wrote nothing";
  }
}
