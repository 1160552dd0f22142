import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export type Line = Record<string, unknown>;

export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  /** The JSON lines of its standard output so far. */
  readonly lines: readonly Line[];
  /** Its standard error so far. */
  readonly errors: string;
  /** The first line with that message, as soon as there is one. */
  line(message: string): Promise<Line>;
  /** Sends the signal, if any, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Runs a Node program from source, with a clean environment of ours: nothing of this process's own may leak in. */
export function startChild(args: readonly string[], env: Record<string, string>): Child {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HOLDFAST|OTEL|NODE_OPTIONS|HOSTNAME)/.test(name),
  );
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", ...args], {
    env: { ...Object.fromEntries(inherited), HOLDFAST_PROBE_HOST: "127.0.0.1", HOLDFAST_PROBE_PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  let errors = "";
  let closed = false;
  const tell = (): void => {
    for (const look of waiting) look();
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push(text.startsWith("{") ? (JSON.parse(text) as Line) : { text });
    tell();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.once("close", () => {
    closed = true;
    tell();
  });
  return {
    process: child,
    lines,
    get errors() {
      return errors;
    },
    line: (message) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find(({ msg }) => msg === message);
          if (!found && !closed) return;
          waiting.delete(look);
          if (found) resolve(found);
          else reject(new Error(`it ended without "${message}": ${JSON.stringify(lines.slice(-5))} ${errors}`));
        };
        waiting.add(look);
        look();
      }),
    async end(signal) {
      if (signal) child.kill(signal);
      const [code, by] = (await ended) as [number | null, NodeJS.Signals | null];
      return { code, signal: by };
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
