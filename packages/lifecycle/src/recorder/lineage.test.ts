import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogFields, type Logger, silentLogger } from "@holdfast/core";
import { TestClock } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openWatchRecord } from "../watch/watch-record.ts";
import { CrashRecorder } from "./crash-recorder.ts";
import { Lineage } from "./lineage.ts";
import { ownIdentity, type ProcessIdentity } from "./process-identity.ts";

const own = ownIdentity();
/** A predecessor in a container that is gone: pid 1 there, pid 1 here. */
const inContainer: ProcessIdentity = { ...own, pid: 1, pidNamespace: "pid:[1]" };
const deadHere: ProcessIdentity = { ...own, startTicks: own.startTicks! - 1 };

let stateDir: string;
let clock: TestClock;
let logged: LogFields[];
let count: number;
const logger: Logger = { ...silentLogger, warn: (fields) => void logged.push(fields) };

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "holdfast-lineage-"));
  clock = new TestClock(Date.now());
  logged = [];
  count = 0;
});

afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

function lineageOf(instance: string, process: ProcessIdentity = own): Lineage {
  const incarnation = (++count).toString(16).padStart(16, "0");
  const identity = { ...process, incarnation, service: "s", instance, bornAtMs: clock.now(), resource: {} };
  const lineage = new Lineage(stateDir, identity, clock, logger);
  new CrashRecorder(lineage.recordPath, identity, () => {}).close();
  return lineage;
}

function beat(lineage: Lineage): void {
  const record = openWatchRecord(lineage.recordPath);
  record.beat({ atMs: clock.now(), stallMs: 0, state: "ready" });
  record.close();
}

describe("lineage", () => {
  it("takes a death that the start time proves at once, and only one process does", () => {
    lineageOf("a", deadHere);
    const [first, second] = [lineageOf("a"), lineageOf("a")];
    expect(first.claim().deaths).toHaveLength(1);
    expect(second.claim()).toEqual({ deaths: [], undecided: false });
    expect(first.claim().deaths).toEqual([]);
  });

  it("waits for silence where every process is pid 1", () => {
    const before = lineageOf("a", inContainer);
    beat(before);
    const after = lineageOf("a", { ...own, pid: 1 });
    clock.advance(1_900);
    expect(after.claim()).toEqual({ deaths: [], undecided: true });
    clock.advance(100);
    expect(after.claim()).toMatchObject({ deaths: [{ record: { identity: { pid: 1 } } }], undecided: false });
  });

  it("takes over what a process that died had taken before it was told", () => {
    lineageOf("a", deadHere);
    const teller = lineageOf("a", deadHere);
    expect(teller.claim().deaths).toHaveLength(1);
    const next = lineageOf("a");
    const { deaths } = next.claim();
    expect(deaths.map((death) => death.record.identity.incarnation)).toEqual(["0000000000000001", "0000000000000002"]);
    expect(deaths.some((death) => death.orphan)).toBe(false);
    for (const death of deaths) next.settle(death);
    expect(readdirSync(next.folder)).toEqual(["0000000000000003.record"]);
  });

  it("leaves other instances to their own successors, until none has come for 15 minutes", () => {
    lineageOf("gone", deadHere);
    const other = lineageOf("other");
    expect(other.claim()).toEqual({ deaths: [], undecided: false });
    clock.advance(900_000);
    expect(other.claim().deaths).toMatchObject([{ orphan: true, record: { identity: { instance: "gone" } } }]);
    expect(readdirSync(stateDir)).toEqual(["@other"]);
  });

  it("is one for all instances without a name of their own, and safe for any name", () => {
    expect(lineageOf("c56a4180-65aa-42ec-a945-5fd21dec0538").folder).toBe(join(stateDir, "unnamed"));
    expect(lineageOf("../../etc/passwd").folder).toBe(join(stateDir, "@%2e%2e%2f%2e%2e%2fetc%2fpasswd"));
  });

  it("keeps 16 untold deaths, the latest, and says in one line what it dropped", () => {
    for (let n = 0; n < 20; n++) {
      lineageOf("a", deadHere);
      clock.advance(1);
    }
    const { deaths } = lineageOf("a").claim();
    expect(deaths).toHaveLength(16);
    expect(deaths[0]!.record.identity.incarnation).toBe("0000000000000005");
    expect(logged).toHaveLength(1);
    expect(logged[0]!.dropped).toHaveLength(4);
  });

  it("refuses a folder that is a link, and closes one that others could read", () => {
    const elsewhere = join(stateDir, "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(stateDir, "@linked"));
    expect(() => lineageOf("linked")).toThrow(expect.objectContaining({ code: "STATE_DIR_UNSAFE" }));
    mkdirSync(join(stateDir, "@open"));
    chmodSync(join(stateDir, "@open"), 0o755);
    expect(statSync(lineageOf("open").folder).mode & 0o777).toBe(0o700);
  });
});
