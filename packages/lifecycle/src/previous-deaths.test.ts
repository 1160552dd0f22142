import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type StorySpan, silentLogger } from "@holdfast/core";
import { TestClock } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeathStory } from "./death-story.ts";
import { PreviousDeaths } from "./previous-deaths.ts";
import { CrashRecorder } from "./recorder/crash-recorder.ts";
import { Lineage } from "./recorder/lineage.ts";
import { ownIdentity } from "./recorder/process-identity.ts";
import type { Incident } from "./recorder/record-types.ts";
import { openWatchRecord } from "./watch/watch-record.ts";

const own = ownIdentity();
const dead = { ...own, startTicks: own.startTicks! - 1 };
const inContainer = { ...own, pid: 1, pidNamespace: "pid:[1]" };

let stateDir: string;
let clock: TestClock;
let count: number;
let exported: StorySpan[];
let told: DeathStory[];
let incidents: Incident[];
let refuse: boolean;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-deaths-"));
  clock = new TestClock(Date.now());
  count = 0;
  exported = [];
  told = [];
  incidents = [];
  refuse = false;
});

afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

function processNamed(instance: string, identity = own): { lineage: Lineage; recorder: CrashRecorder } {
  const incarnation = (++count).toString(16).padStart(16, "0");
  const recorded = { ...identity, incarnation, service: "s", instance, bornAtMs: clock.now(), resource: {} };
  const lineage = new Lineage(stateDir, recorded, clock, silentLogger);
  const recorder = new CrashRecorder(lineage.recordPath, recorded, () => {});
  clock.advance(1);
  return { lineage, recorder };
}

function deathsSeenBy(lineage: Lineage): PreviousDeaths {
  return new PreviousDeaths({
    lineage,
    clock,
    logger: silentLogger,
    sink: {
      async exportSpans(spans) {
        if (refuse) throw new Error("refused");
        exported.push(...spans);
      },
    },
    teller: () => ({ incarnation: "teller", bornAtMs: clock.now(), bootedAtMs: clock.now() }),
    onTold: (story) => told.push(story),
    onIncident: (incident) => incidents.push(incident),
  });
}

const names = () => exported.map((span) => span.name);

describe("previous deaths", () => {
  it("are told oldest first; the boot belongs to the latest", async () => {
    for (let n = 0; n < 2; n++) processNamed("a", dead).recorder.close();
    const { lineage, recorder } = processNamed("a");
    const deaths = deathsSeenBy(lineage);
    expect((await deaths.tell())?.incarnation).toBe("0000000000000002");
    expect(names()).toEqual(["lifecycle.crash", "lifecycle.crash", "lifecycle.boot"]);
    expect(deaths.incident).toBeNull();
    recorder.close();
  });

  it("are told again and again in the background until the sink takes them, and then never more", async () => {
    processNamed("a", dead).recorder.close();
    const { lineage, recorder } = processNamed("a");
    const deaths = deathsSeenBy(lineage);
    refuse = true;
    await expect(deaths.tell()).rejects.toMatchObject({ code: "STORY_NOT_DELIVERED" });
    await clock.advanceAsync(5_000);
    expect(readdirSync(lineage.folder).filter((name) => name.endsWith(".death"))).toHaveLength(1);
    refuse = false;
    await clock.advanceAsync(10_000);
    expect(names()).toEqual(["lifecycle.crash", "lifecycle.boot"]);
    await clock.advanceAsync(1_000_000);
    expect(told).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
    recorder.close();
  });

  it("that only silence proves are waited for, and their incident is taken over then", async () => {
    const before = processNamed("a", inContainer);
    const watch = openWatchRecord(before.lineage.recordPath);
    watch.beat({ atMs: clock.now(), stallMs: 0, state: "ready" });
    watch.close();
    before.recorder.close();
    const { lineage, recorder } = processNamed("a");
    const deaths = deathsSeenBy(lineage);
    const telling = deaths.tell();
    await clock.advanceAsync(1_000);
    expect(told).toEqual([]);
    await clock.advanceAsync(1_500);
    expect((await telling)?.cause).toBe("no-warning");
    expect(incidents).toMatchObject([{ openedBy: "death", traceId: exported[0]!.traceId }]);
    recorder.close();
  });

  it("of others are told for them, and are no incident of ours", async () => {
    processNamed("gone", dead).recorder.close();
    clock.advance(900_000);
    const { lineage, recorder } = processNamed("a");
    const deaths = deathsSeenBy(lineage);
    expect(deaths.incident).toBeNull();
    expect(await deaths.tell()).toBeNull();
    expect(names()).toEqual(["lifecycle.crash"]);
    recorder.close();
  });

  it("hand an open incident on after a graceful end, but not for ever", () => {
    const incident = { traceId: "a".repeat(32), rootSpanId: "b".repeat(16), openedAtMs: 1, openedBy: "stall" };
    const stop = (): void => {
      const { lineage, recorder } = processNamed("a", dead);
      const watch = openWatchRecord(lineage.recordPath);
      watch.incident(incident);
      watch.close();
      recorder.end({ atMs: clock.now(), kind: "shutdown", told: true });
      recorder.close();
    };
    stop();
    const next = processNamed("a");
    expect(deathsSeenBy(next.lineage).incident).toEqual(incident);
    next.recorder.close();
    stop();
    clock.advance(900_001);
    const late = processNamed("a");
    expect(deathsSeenBy(late.lineage).incident).toBeNull();
    late.recorder.close();
  });
});
