import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { guardChild } from "@holdfast/testkit";
import type { Role } from "../config.ts";

export type LogLine = Readonly<Record<string, unknown>>;

export const adminToken = "a token for tests only";

/** One instance of a role: the real program in a process of its own, and what it logs. */
export class RoleProcess implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  readonly #errors: string[] = [];
  #url = "";
  #adminUrl: string | undefined;

  /** It takes ports of its own choice. */
  constructor(role: Role, env: NodeJS.ProcessEnv) {
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=@holdfast/source", main, "--role", role], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH,
        PORT: "0",
        ADMIN_PORT: "0",
        ADMIN_TOKEN: adminToken,
        HOLDFAST_PROBE_PORT: "0",
        HOLDFAST_PROBE_HOST: "127.0.0.1",
        HOLDFAST_LAME_DUCK: "0ms",
        OTEL_METRIC_EXPORT_INTERVAL: "500",
        ...env,
      },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#take(line));
    createInterface({ input: child.stderr }).on("line", (line) => this.#errors.push(line));
    // A test that is interrupted leaves nothing running.
    const guard = guardChild(child.pid!);
    child.once("exit", () => guard.dismiss());
    this.ended = once(child, "close").then(([code, signal]) => {
      this.#wake();
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
  }

  /** Resolves when it does. */
  async listening(): Promise<void> {
    this.#url = `http://127.0.0.1:${(await this.line("listening")).port}`;
    // Where there is an admin endpoint it listens first.
    const admin = this.lines.find(({ msg }) => msg === "admin endpoint listening");
    if (admin) this.#adminUrl = `http://127.0.0.1:${admin.port}`;
  }

  get url(): string {
    return this.#url;
  }

  /** Undefined where there is none. */
  get adminUrl(): string | undefined {
    return this.#adminUrl;
  }

  /** For PAYMENTS_ADDRESS. */
  get grpcAddress(): string {
    return `ipv4:${this.#url.slice("http://".length)}`;
  }

  get errorOutput(): string {
    return this.#errors.join("\n");
  }

  /** The first line with this message that matches, as soon as there is one. */
  async line(message: string, matches: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find((line) => line.msg === message && matches(line));
      if (found) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`it ended without saying ${JSON.stringify(message)}: ${this.errorOutput}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Asks the admin endpoint. */
  async admin(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<Response> {
    return await fetch(`${this.#adminUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }

  #take(text: string): void {
    try {
      this.lines.push(JSON.parse(text) as LogLine);
    } catch {
      this.#errors.push(text);
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
