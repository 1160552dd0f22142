import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { StorySpan } from "@holdfast/core";
import { guardChild } from "@holdfast/testkit";
import type { ChildLine, ChildSettings } from "./child.ts";

type Part<Key extends string> =
  Extract<ChildLine, Record<Key, unknown>> extends Record<Key, infer Value> ? Value : never;

export interface Child {
  readonly process: ChildProcess;
  readonly lines: ChildLine[];
  /** The n-th line of a kind, from 0, as soon as it was written; rejects when the process ends without it. */
  line<Key extends string>(kind: Key, nth?: number): Promise<Part<Key>>;
  /** Every span that was told so far. */
  readonly stories: StorySpan[];
  /** The first span of a name, as soon as it was told. */
  story(name: string): Promise<StorySpan>;
  /** What the process wrote on standard error. */
  readonly stderr: string;
  /** Exit code or signal, once all output was read. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

const PROGRAM = fileURLToPath(new URL("./child.ts", import.meta.url));

/** Runs the service of `child.ts`. It does not outlive this process. */
export function startChild(settings: ChildSettings, nodeFlags: readonly string[] = []): Child {
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", ...nodeFlags, PROGRAM], {
    env: { ...process.env, NODE_OPTIONS: "", CHILD: JSON.stringify(settings) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const guard = guardChild(child.pid!);
  const lines: ChildLine[] = [];
  let stderr = "";
  const waiting: (() => void)[] = [];
  let over = false;
  const wake = (): void => {
    for (const look of waiting.splice(0)) look();
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push(JSON.parse(text) as ChildLine);
    wake();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code, signal]) => {
    guard.dismiss();
    over = true;
    wake();
    return (code ?? signal) as number | NodeJS.Signals;
  });
  const find = async (what: string, look: () => ChildLine | undefined): Promise<ChildLine> => {
    for (;;) {
      const found = look();
      if (found) return found;
      if (over) throw new Error(`the child ended without a line ${what}; on standard error: ${stderr}`);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  return {
    process: child,
    lines,
    ended,
    get stderr() {
      return stderr;
    },
    get stories() {
      return lines.flatMap((line) => ("story" in line ? [line.story] : []));
    },
    async line(kind, nth = 0) {
      const found = await find(`"${kind}"`, () => lines.filter((line) => kind in line)[nth]);
      return (found as unknown as Record<string, never>)[kind]!;
    },
    async story(name) {
      const found = await find(name, () => lines.find((line) => "story" in line && line.story.name === name));
      return (found as { story: StorySpan }).story;
    },
  };
}
