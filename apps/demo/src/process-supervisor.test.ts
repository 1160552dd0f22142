import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { TestClock } from "@holdfast/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { lineSplitter } from "./line-splitter.ts";
import { ProcessSupervisor } from "./process-supervisor.ts";
import type { ServiceExit, ServiceLine } from "./supervised-process.ts";

const supervisors: ProcessSupervisor[] = [];
function supervise(clock?: TestClock): ProcessSupervisor {
  const supervisor = new ProcessSupervisor({ clock });
  supervisors.push(supervisor);
  return supervisor;
}
afterEach(async () => {
  for (const supervisor of supervisors.splice(0)) await supervisor.close();
});

const idle = "setInterval(() => {}, 1_000);";
const ready = `console.log(JSON.stringify({ msg: "ready", pid: process.pid }));`;
const node = (script: string) => ["-e", script];

function nextLine(supervisor: ProcessSupervisor, wanted: (line: ServiceLine) => boolean = () => true) {
  return new Promise<ServiceLine>((resolve) => {
    const forget = supervisor.on("line", (line) => {
      if (!wanted(line)) return;
      forget();
      resolve(line);
    });
  });
}

function nextExit(supervisor: ProcessSupervisor) {
  return new Promise<ServiceExit>((resolve) => {
    const forget = supervisor.on("exit", (exit) => {
      forget();
      resolve(exit);
    });
  });
}

describe("a supervised process", () => {
  it("is heard line by line, as JSON where it is, and on file", async () => {
    const supervisor = supervise();
    const ended = nextExit(supervisor);
    const service = await supervisor.start({
      name: "talker",
      args: node(`console.log('{"msg":"one","n":1}'); console.error("two"); process.stdout.write("three");`),
    });
    expect(await ended).toMatchObject({ name: "talker", code: 0, expected: false, restartInMs: undefined });
    expect(service.lines.filter((line) => line.stream === "stdout").map((line) => line.fields)).toEqual([
      { msg: "one", n: 1 },
      { msg: "three" },
    ]);
    expect(service.lines.find((line) => line.stream === "stderr")?.fields).toEqual({ msg: "two" });
    expect(readFileSync(service.logFile, "utf8")).toContain('{"msg":"one","n":1}\n');
  });

  it("keeps the last thousand lines", async () => {
    const supervisor = supervise();
    const ended = nextExit(supervisor);
    const service = await supervisor.start({
      name: "talker",
      args: node("for (let i = 0; i < 1500; i++) console.log(i);"),
    });
    await ended;
    expect(service.lines).toHaveLength(1_000);
    expect(service.lines[0]!.text).toBe("500");
  });

  it("is restarted after a crash, each time later, like Docker does it", async () => {
    const clock = new TestClock();
    const supervisor = supervise(clock);
    let crashed = nextExit(supervisor);
    const service = await supervisor.start({ name: "crasher", args: node("process.exit(3)") });
    for (const [index, waitMs] of [100, 200, 400].entries()) {
      expect(await crashed).toMatchObject({ code: 3, expected: false, restartInMs: waitMs });
      expect(service.isRunning).toBe(false);
      crashed = nextExit(supervisor);
      const restarted = new Promise((resolve) => supervisor.on("restart", resolve));
      clock.advance(waitMs);
      expect(await restarted).toMatchObject({ name: "crasher", restarts: index + 1 });
    }
  });

  it("is restarted soon again once it has lived for ten seconds", async () => {
    const clock = new TestClock();
    const supervisor = supervise(clock);
    const start = nextLine(supervisor);
    const service = await supervisor.start({ name: "steady", args: node(ready + idle) });
    await start;
    for (let crash = 0; crash < 3; crash++) {
      clock.advance(10_000);
      const exit = nextExit(supervisor);
      await service.kill();
      expect(await exit).toMatchObject({ signal: "SIGKILL", restartInMs: 100 });
      const again = nextLine(supervisor);
      clock.advance(100);
      await again;
    }
    expect(service.restarts).toBe(3);
  });

  it("is left alone when it ended well, or when nobody wants it again", async () => {
    const clock = new TestClock();
    const supervisor = supervise(clock);
    await supervisor.start({ name: "done", args: node("") });
    await nextExit(supervisor);
    await supervisor.start({ name: "once", args: node("process.exit(1)"), restart: false });
    await nextExit(supervisor);
    expect(clock.pendingTimers).toBe(0);
  });

  it("is stopped by SIGTERM and tells its exit code", async () => {
    const supervisor = supervise();
    const up = nextLine(supervisor);
    await supervisor.start({
      name: "graceful",
      args: node(`process.on("SIGTERM", () => { console.log("bye"); process.exit(7); }); ${ready} ${idle}`),
    });
    await up;
    const bye = nextLine(supervisor, (line) => line.text === "bye");
    expect(await supervisor.stop(["graceful"])).toEqual({ graceful: 7 });
    await bye;
  });

  it("is killed when it does not stop in time", async () => {
    const supervisor = supervise();
    const up = nextLine(supervisor);
    const service = await supervisor.start({
      name: "deaf",
      args: node(`process.on("SIGTERM", () => {}); ${ready} ${idle}`),
    });
    await up;
    const { pid } = service;
    expect(await supervisor.stop(["deaf"], 50)).toEqual({ deaf: null });
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it("stays down when it is stopped while it waits for its restart", async () => {
    const clock = new TestClock();
    const supervisor = supervise(clock);
    const exit = nextExit(supervisor);
    const service = await supervisor.start({ name: "crasher", args: node("process.exit(3)") });
    await exit;
    expect(await supervisor.stop()).toEqual({ crasher: 3 });
    clock.advance(60_000);
    expect(service.isRunning).toBe(false);
  });

  it("that cannot be started says so", async () => {
    const supervisor = supervise();
    await expect(supervisor.start({ name: "none", command: "/no/such/program", args: [] })).rejects.toThrow("ENOENT");
    await supervisor.start({ name: "none", args: node("") });
    await expect(supervisor.start({ name: "none", args: node("") })).rejects.toThrow("there is a process none already");
  });
});

describe("the supervisor", () => {
  it("leaves no process and no log behind once closed", async () => {
    const supervisor = supervise();
    const up = nextLine(supervisor);
    const { pid } = await supervisor.start({ name: "service", args: node(ready + idle) });
    await up;
    await supervisor.close();
    await supervisor.close();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(existsSync(supervisor.logDirectory)).toBe(false);
  });

  it.each(["SIGINT", "SIGTERM", "SIGKILL", "an uncaught exception"] as const)(
    "leaves nothing behind when it is ended by %s",
    async (end) => {
      const script = `
        import { ProcessSupervisor } from ${JSON.stringify(new URL("./process-supervisor.ts", import.meta.url).href)};
        const supervisor = new ProcessSupervisor();
        supervisor.on("line", ({ fields }) => {
          console.log(JSON.stringify({ pid: fields.pid, directory: supervisor.logDirectory }));
          ${end === "an uncaught exception" ? `setImmediate(() => { throw new Error("on purpose"); });` : ""}
        });
        await supervisor.start({ name: "service", args: ["-e", ${JSON.stringify(ready + idle)}] });
      `;
      const parent = spawn(process.execPath, ["--conditions=@holdfast/source", "--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
      const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
      if (end.startsWith("SIG")) parent.kill(end as NodeJS.Signals);
      await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
      await expect.poll(() => existsSync(directory), { timeout: 10_000 }).toBe(false);
    },
  );
});

describe("lines", () => {
  it("are cut at newlines only, wherever the chunks are cut", () => {
    const text = "första\r\n\nzweite\nτρίτη";
    const bytes = Buffer.from(text);
    for (let size = 1; size <= bytes.length; size++) {
      const lines: string[] = [];
      const splitter = lineSplitter((line) => lines.push(line));
      for (let at = 0; at < bytes.length; at += size) splitter.write(bytes.subarray(at, at + size));
      splitter.end();
      expect(lines).toEqual(["första", "zweite", "τρίτη"]);
    }
  });

  it("are cut off where they never end", () => {
    const lines: string[] = [];
    const splitter = lineSplitter((line) => lines.push(line));
    for (let i = 0; i < 100; i++) splitter.write(Buffer.alloc(64 * 1_024, "x"));
    splitter.end();
    expect(lines.map((line) => line.length)).toEqual([64 * 1_024]);
  });
});

/** Dead also counts as such while its adopter has not reaped it yet. */
function isAlive(pid: number): boolean {
  const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1] : undefined;
  return state !== undefined && !state.startsWith("Z");
}
