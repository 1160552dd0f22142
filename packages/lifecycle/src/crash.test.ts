import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StorySpan } from "@holdfast/core";
import { probe } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ChildSettings } from "./testing/child.ts";
import { type Child, startChild } from "./testing/start-child.ts";

let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-crash-"));
});

afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

const start = (settings: ChildSettings = {}, nodeFlags: string[] = []) =>
  startChild({ stateDir, ...settings }, nodeFlags);

async function kill(child: Child): Promise<void> {
  child.process.kill("SIGKILL");
  await child.ended;
}

const named = (spans: readonly StorySpan[], name: string) => spans.filter((span) => span.name === name);

async function request(child: Child, path: string): Promise<void> {
  const { url } = await child.line("up");
  // It ends with the process.
  void fetch(`${url}${path}`).catch(() => {});
}

// Each case starts processes, and the machine may be busy.
describe("a crash", { timeout: 60_000 }, () => {
  it("in one process is told by the next: one trace of probes, stall, crash and boot, linked to the requests", async () => {
    const first = start({ readinessStallMs: 250 });
    const { probeUrl } = await first.line("up");
    await request(first, "/hold");
    const held = await first.line("request", 0);
    await request(first, "/block=1200");
    await first.line("request", 1);
    // Until the stall is longer than readiness allows; the thread that answers is not the one that is blocked.
    while ((await probe(`${probeUrl}/readyz`)).ok);
    await first.story("lifecycle.stall");
    await request(first, "/throw");
    const thrown = await first.line("request", 2);
    expect(await first.ended).toBe(1);
    expect(first.stderr).toContain("RangeError: thrown in a request");
    const [stall] = named(first.stories, "lifecycle.stall");

    const second = start();
    expect(await second.line("told")).toBe("exception");
    const [crash] = named(second.stories, "lifecycle.crash");
    expect(crash).toMatchObject({
      traceId: stall!.traceId,
      parentSpanId: stall!.spanId,
      status: "error",
      statusMessage: "thrown in a request",
      resource: { "service.name": "child", pid: first.process.pid },
      attributes: {
        "lifecycle.incident": true,
        "lifecycle.death.cause": "exception",
        "exception.type": "RangeError",
        "exception.message": "thrown in a request",
        "exception.stacktrace": expect.stringContaining("child.ts:"),
        "process.exit.code": 1,
      },
    });
    const links = new Map(crash!.links!.map((link) => [link.spanId, link.attributes!["lifecycle.link"]]));
    expect(links.get(held.spanId)).toBe("in-flight");
    expect(links.has(thrown.spanId)).toBe(true);
    expect(links.get(stall!.spanId)).toBe("stall");
    expect([...links.values()]).toContain("probe");

    // The requests that nobody answered: their own ids, the dead process's resource.
    const resurrected = second.stories.filter((span) => span.attributes!["lifecycle.resurrected"]);
    expect(resurrected.map(({ traceId, spanId, name }) => ({ traceId, spanId, name }))).toEqual([
      { traceId: held.traceId, spanId: held.spanId, name: "GET /hold" },
      { traceId: thrown.traceId, spanId: thrown.spanId, name: "GET /throw" },
    ]);
    for (const span of resurrected) {
      expect(span).toMatchObject({ status: "error", kind: "server", resource: { pid: first.process.pid } });
      expect(span.links).toMatchObject([{ spanId: crash!.spanId }]);
      expect(span.endTimeMs).toBe(crash!.endTimeMs);
    }
    const [boot] = named(second.stories, "lifecycle.boot");
    expect(boot).toMatchObject({ traceId: stall!.traceId, parentSpanId: stall!.spanId });
    expect(boot!.resource).toBeUndefined();
    expect(boot!.startTimeMs).toBeGreaterThan(crash!.endTimeMs);
    // What the first process told while it lived is not told again.
    expect(named(second.stories, "lifecycle.stall")).toEqual([]);
    await kill(second);
  });

  it("is told exactly once, also when the first telling fails and the teller dies", async () => {
    const first = start();
    await request(first, "/throw");
    await first.ended;

    const deaf = start({ deafSink: true });
    expect(await deaf.line("tellingFailed")).toBe("STORY_NOT_DELIVERED");
    await kill(deaf);

    const third = start();
    expect(await third.line("told")).toBe("no-warning");
    const told = named(third.stories, "lifecycle.crash").map((span) => span.attributes!["lifecycle.death.cause"]);
    expect(told).toEqual(["exception", "no-warning"]);
    // The boots in between are one incident, and only the one that tells is a boot of it.
    expect(
      new Set(third.stories.filter((span) => span.name.startsWith("lifecycle.")).map((span) => span.traceId)).size,
    ).toBe(1);
    expect(named(third.stories, "lifecycle.boot")).toHaveLength(1);
    third.process.kill("SIGTERM");
    expect(await third.ended).toBe(0);

    const fourth = start();
    expect(await fourth.line("told")).toBeNull();
    expect(fourth.stories).toEqual([]);
    await kill(fourth);
  });

  it.each<[string, string, string[], number | string]>([
    ["an unhandled rejection", "/reject", [], 1],
    ["an exhausted heap", "/oom", ["--max-old-space-size=64"], "SIGABRT"],
    ["process.exit with a code", "/exit", [], 3],
  ])("by %s is told for what it was", async (_what, path, flags, end) => {
    const first = start({}, flags);
    await request(first, path);
    expect(await first.ended).toBe(end);
    const second = start();
    const cause = await second.line("told");
    const [crash] = named(second.stories, "lifecycle.crash");
    expect([cause, crash!.attributes!["lifecycle.exception.origin"]]).toEqual(
      { "/reject": ["exception", "unhandledRejection"], "/oom": ["heap-oom", undefined], "/exit": ["exit", undefined] }[
        path
      ],
    );
    await kill(second);
    expect(readdirSync(join(stateDir, "@child-1")).filter((name) => !name.endsWith(".record"))).toEqual([]);
  });

  it("by SIGKILL is dated by the last sign of life", async () => {
    const first = start();
    await request(first, "/hold");
    await first.line("request");
    const beforeMs = Date.now();
    await kill(first);
    const second = start();
    expect(await second.line("told")).toBe("no-warning");
    const [crash] = named(second.stories, "lifecycle.crash");
    // A beat each 100 ms; the rest is what two busy cores may add.
    expect(Math.abs(crash!.endTimeMs - beforeMs)).toBeLessThan(500);
    await kill(second);
  });

  it("of one instance is not told by its siblings, nor by two successors", async () => {
    const sibling = start({ instance: "child-2" });
    const first = start();
    await Promise.all([sibling.line("told"), first.line("told")]);
    const same = start();
    expect(await same.line("told")).toBeNull();
    await kill(first);
    const other = start({ instance: "child-3" });
    expect(await other.line("told")).toBeNull();

    const successors = [start(), start()];
    await Promise.all(successors.map((child) => child.line("told")));
    expect(successors.flatMap((child) => named(child.stories, "lifecycle.crash"))).toHaveLength(1);
    await Promise.all([sibling, same, other, ...successors].map(kill));
  });

  it("leaves files that only this user can read", async () => {
    const child = start();
    await child.line("up");
    const folder = join(stateDir, "@child-1");
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    await kill(child);
  });

  it("whose record is damaged does not keep the next process from starting", async () => {
    const first = start();
    await first.line("up");
    await kill(first);
    const folder = join(stateDir, "@child-1");
    const damaged = {
      "0123456789abcdef.record": Buffer.alloc(5_000, 7),
      "1123456789abcdef.record": "",
      "2123456789abcdef.0123456789abcdef.death": "x",
      "3123456789abcdef.new": "x",
    };
    const longAgo = new Date(Date.now() - 60_000);
    for (const [name, content] of Object.entries(damaged)) {
      writeFileSync(join(folder, name), content);
      utimesSync(join(folder, name), longAgo, longAgo);
    }
    const second = start();
    expect(await second.line("told")).toBe("no-warning");
    await kill(second);
    expect(readdirSync(folder).filter((name) => name in damaged)).toEqual([]);
  });
});
