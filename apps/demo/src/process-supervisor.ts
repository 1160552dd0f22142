import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "@holdfast/core";
import { type Guard, guardDirectory } from "@holdfast/testkit";
import { type ProcessSpec, type ServiceExit, type ServiceLine, SupervisedProcess } from "./supervised-process.ts";

export interface SupervisorOptions {
  /** Where each process's output is kept, as `<name>.log`. Default: a temporary directory that `close()` removes. */
  logDirectory?: string | undefined;
  clock?: Clock | undefined;
}

export interface SupervisorEvents {
  /** Every line that any process wrote. */
  line: [line: ServiceLine];
  /** A process has ended, asked to or not. */
  exit: [exit: ServiceExit];
  /** A process that had ended by itself runs again. */
  restart: [restart: { name: string; pid: number; restarts: number }];
}

/**
 * Runs service processes as compose does with `restart: on-failure`. They end with this process, however that ends: each
 * has a guard that outlives even a SIGKILL.
 */
export class ProcessSupervisor implements AsyncDisposable {
  readonly logDirectory: string;
  /** Of the logs, where they are temporary. */
  readonly #guard: Guard | undefined;
  readonly #clock: Clock;
  readonly #events = new EventEmitter<SupervisorEvents>();
  readonly #processes = new Map<string, SupervisedProcess>();

  constructor(options: SupervisorOptions = {}) {
    this.logDirectory = options.logDirectory ?? mkdtempSync(join(tmpdir(), "holdfast-logs-"));
    if (options.logDirectory === undefined) this.#guard = guardDirectory(this.logDirectory);
    this.#clock = options.clock ?? systemClock;
    this.#events.setMaxListeners(0);
  }

  /**
   * Starts a process.
   *
   * @throws Error when one of that name was started before, or when it could not be started at all
   */
  async start(spec: ProcessSpec): Promise<SupervisedProcess> {
    if (this.#processes.has(spec.name)) throw new Error(`there is a process ${spec.name} already`);
    const process = new SupervisedProcess(spec, {
      logFile: join(this.logDirectory, `${spec.name}.log`),
      clock: this.#clock,
      onLine: (line) => void this.#events.emit("line", line),
      onExit: (exit) => void this.#events.emit("exit", exit),
      onRestart: (restart) => void this.#events.emit("restart", restart),
    });
    this.#processes.set(spec.name, process);
    try {
      await process.start();
    } catch (error) {
      this.#processes.delete(spec.name);
      throw error;
    }
    return process;
  }

  get(name: string): SupervisedProcess | undefined {
    return this.#processes.get(name);
  }

  /** Listens; returns what takes it back. */
  on<Event extends keyof SupervisorEvents>(
    event: Event,
    listener: (...values: SupervisorEvents[Event]) => void,
  ): () => void {
    const all = this.#events as EventEmitter;
    all.on(event, listener as (...values: unknown[]) => void);
    return () => void all.off(event, listener as (...values: unknown[]) => void);
  }

  /**
   * Sends SIGTERM to the named processes, all at once, and waits; a process that takes longer than `timeoutMs` gets
   * SIGKILL. None is restarted.
   *
   * @param names default: all
   * @returns each one's exit code; null when a signal ended it
   */
  async stop(
    names: readonly string[] = [...this.#processes.keys()],
    timeoutMs = 30_000,
  ): Promise<Record<string, number | null>> {
    const codes = await Promise.all(
      names.map(async (name) => [name, await this.#processes.get(name)?.stop(timeoutMs)] as const),
    );
    return Object.fromEntries(codes.map(([name, code]) => [name, code ?? null]));
  }

  /** Ends what still runs, quickly, and removes the temporary logs. Harmless when called twice. */
  async close(): Promise<void> {
    await this.stop(undefined, 5_000);
    if (!this.#guard) return;
    rmSync(this.logDirectory, { recursive: true, force: true });
    this.#guard.dismiss();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
