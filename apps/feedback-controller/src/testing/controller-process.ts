import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { guardChild } from "@holdfast/testkit";

export type Line = Readonly<Record<string, unknown>> & { msg: string };

/** The real program in a process of its own, on free ports, with a folder of its own. */
export class ControllerProcess implements AsyncDisposable {
  readonly directory: string;
  readonly lines: Line[] = [];
  stderr = "";
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  readonly #waiting: { isIt: (line: Line) => boolean; found: (line: Line) => void; failed: (error: Error) => void }[] =
    [];

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.directory = mkdtempSync(join(tmpdir(), "holdfast-controller-"));
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const defaults = [
      ["--otlp-grpc-port", "0"],
      ["--otlp-http-port", "0"],
      ["--api-port", "0"],
      ["--probe-port", "0"],
      ["--probe-host", "127.0.0.1"],
      ["--lame-duck", "0s"],
      ["--data", join(this.directory, "controller.sqlite")],
      ["--state-dir", join(this.directory, "state")],
    ].filter(([flag]) => !args.includes(flag!));
    this.#child = spawn(process.execPath, ["--conditions=@holdfast/source", main, ...defaults.flat(), ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const guard =
      this.#child.pid === undefined ? undefined : guardChild(this.#child.pid, { directory: this.directory });
    this.#child.stderr!.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    createInterface({ input: this.#child.stdout! }).on("line", (text) => this.#take(text));
    this.ended = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => {
        guard?.dismiss();
        const error = new Error(`the controller ended (${code ?? signal}): ${this.stderr}`);
        for (const { failed } of this.#waiting.splice(0)) failed(error);
        resolve(code ?? signal ?? 1);
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The first line that is one, also of those that came before. Rejects when the program ends without it. */
  line(isIt: (line: Line) => boolean): Promise<Line> {
    const known = this.lines.find(isIt);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((found, failed) => this.#waiting.push({ isIt, found, failed }));
  }

  /** Where it listens, once it does. */
  async ready(): Promise<{ grpc: string; http: string; api: string }> {
    const line = await this.line(({ msg }) => msg === "feedback controller ready");
    const url = (port: unknown): string => `http://127.0.0.1:${port}`;
    return { grpc: url(line.otlpGrpcPort), http: url(line.otlpHttpPort), api: url(line.apiPort) };
  }

  /** SIGTERM, and its exit code. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
    rmSync(this.directory, { recursive: true, force: true });
  }

  #take(text: string): void {
    if (!text.startsWith("{")) return;
    const line = JSON.parse(text) as Line;
    this.lines.push(line);
    for (const waiting of this.#waiting.filter(({ isIt }) => isIt(line))) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.found(line);
    }
  }
}
