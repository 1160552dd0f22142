import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Clock, Timer } from "@holdfast/core";
import { guardChild } from "@holdfast/testkit";
import { lineSplitter } from "./line-splitter.ts";

export interface ProcessSpec {
  /** Such as "payments-1". */
  name: string;
  /** Default: this Node. */
  command?: string | undefined;
  args: readonly string[];
  /** The whole environment. Default: this process's. */
  env?: NodeJS.ProcessEnv | undefined;
  cwd?: string | undefined;
  /** Whether it is started again after it ended by itself with an error. Default true. */
  restart?: boolean | undefined;
}

export interface ServiceLine {
  name: string;
  stream: "stdout" | "stderr";
  /** When it was read, in milliseconds since the epoch. */
  readAtMs: number;
  text: string;
  /** The line as JSON; `{ msg: text }` where it is none. */
  fields: Readonly<Record<string, unknown>>;
}

export interface ServiceExit {
  name: string;
  pid: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Whether `stop()` asked for it. */
  expected: boolean;
  /** When it will be started again, in milliseconds from now; undefined: not at all. */
  restartInMs: number | undefined;
}

export interface Surroundings {
  logFile: string;
  clock: Clock;
  onLine: (line: ServiceLine) => void;
  onExit: (exit: ServiceExit) => void;
  onRestart: (restart: { name: string; pid: number; restarts: number }) => void;
}

/** Docker's: the first restart comes after 100 ms, each further one after twice the wait, and 10 s of life reset it. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 60_000;
const STEADY_MS = 10_000;

const KEPT_LINES = 1_000;

/** One process under a supervisor: its output, its restarts, its end. */
export class SupervisedProcess {
  readonly name: string;
  readonly #spec: ProcessSpec;
  readonly #around: Surroundings;
  #log: number | undefined;
  readonly #lines: ServiceLine[] = [];
  #child: ChildProcess | undefined;
  #starting: Promise<void> = Promise.resolve();
  #ended: Promise<void> = Promise.resolve();
  #startedMs = 0;
  #waitMs = FIRST_WAIT_MS;
  #restarts = 0;
  #timer: Timer | undefined;
  #stopping = false;
  #exitCode: number | null = null;

  constructor(spec: ProcessSpec, around: Surroundings) {
    this.name = spec.name;
    this.#spec = spec;
    this.#around = around;
    this.#log = openSync(around.logFile, "a", 0o600);
  }

  /** Of the process that runs now; undefined when none does. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** How many times it was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  get logFile(): string {
    return this.#around.logFile;
  }

  /** The last 1000 lines, oldest first. */
  get lines(): readonly ServiceLine[] {
    return this.#lines;
  }

  /** @throws Error when the command cannot be run */
  async start(): Promise<void> {
    this.#starting = this.#spawn();
    try {
      await this.#starting;
    } catch (error) {
      this.#closeLog();
      throw error;
    }
  }

  /** Sends a signal, and resolves when the process is gone; it is started again if it may be. Default SIGKILL. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
  }

  /**
   * Ends it for good: SIGTERM, and SIGKILL after `timeoutMs`.
   *
   * @returns its exit code; null when a signal ended it
   */
  async stop(timeoutMs = 30_000): Promise<number | null> {
    this.#stopping = true;
    this.#timer?.cancel();
    // A restart may be under way.
    await this.#starting.catch(() => {});
    const child = this.#child;
    if (child) {
      child.kill("SIGTERM");
      const impatience = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
      await this.#ended;
      clearTimeout(impatience);
    }
    this.#closeLog();
    return this.#exitCode;
  }

  async #spawn(): Promise<void> {
    const { command = process.execPath, args, env, cwd } = this.#spec;
    const child = spawn(command, [...args], {
      env: env ?? process.env,
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      // Not in the terminal's foreground group: Ctrl-C is for this process, which stops the others in order.
      detached: true,
    });
    const spawned = once(child, "spawn");
    child.on("error", () => {});
    this.#read(child, "stdout");
    this.#read(child, "stderr");
    await spawned;
    const pid = child.pid!;
    const guard = guardChild(pid, { signal: "TERM" });
    this.#child = child;
    this.#startedMs = this.#around.clock.monotonic();
    child.once("exit", () => guard.dismiss());
    // "close" comes after "exit" and after the last line.
    this.#ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#onEnd(pid, code, signal);
        resolve();
      });
    });
  }

  #read(child: ChildProcess, stream: "stdout" | "stderr"): void {
    const splitter = lineSplitter((text) => {
      const line = { name: this.name, stream, readAtMs: this.#around.clock.now(), text, fields: parse(text) };
      this.#lines.push(line);
      if (this.#lines.length > KEPT_LINES) this.#lines.shift();
      this.#around.onLine(line);
    });
    child[stream]!.on("data", (chunk: Buffer) => {
      this.#write(chunk);
      splitter.write(chunk);
    });
    child[stream]!.on("end", () => splitter.end());
  }

  #write(chunk: Buffer): void {
    try {
      if (this.#log !== undefined) writeSync(this.#log, chunk);
    } catch {
      // A full disk must not end who watches.
    }
  }

  #closeLog(): void {
    if (this.#log !== undefined) closeSync(this.#log);
    this.#log = undefined;
  }

  #onEnd(pid: number, code: number | null, signal: NodeJS.Signals | null): void {
    const { clock, onExit } = this.#around;
    this.#child = undefined;
    this.#exitCode = code;
    const expected = this.#stopping;
    const restarts = !expected && code !== 0 && (this.#spec.restart ?? true);
    if (clock.monotonic() - this.#startedMs >= STEADY_MS) this.#waitMs = FIRST_WAIT_MS;
    onExit({ name: this.name, pid, code, signal, expected, restartInMs: restarts ? this.#waitMs : undefined });
    if (restarts) this.#restartLater();
    else this.#closeLog();
  }

  #restartLater(): void {
    this.#timer = this.#around.clock.after(this.#waitMs, () => {
      this.#restarts++;
      this.#starting = this.#spawn();
      this.#starting.then(
        () => this.#around.onRestart({ name: this.name, pid: this.pid!, restarts: this.#restarts }),
        () => this.#stopping || this.#restartLater(),
      );
    });
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }
}

function parse(text: string): Readonly<Record<string, unknown>> {
  if (text.startsWith("{")) {
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch {
      // Cut off, or not meant as JSON.
    }
  }
  return { msg: text };
}
