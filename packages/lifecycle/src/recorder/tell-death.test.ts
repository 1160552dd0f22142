import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openWatchRecord } from "../watch/watch-record.ts";
import { CrashRecorder } from "./crash-recorder.ts";
import { type DeathRecord, parseRecord } from "./death-record.ts";
import { ownIdentity } from "./process-identity.ts";
import { layout } from "./record-layout.ts";
import { tellDeath } from "./tell-death.ts";

const incident = { traceId: "a".repeat(32), rootSpanId: "b".repeat(16), openedAtMs: 1_500, openedBy: "stall" };
const liveSpan = (n: number, attributes: Record<string, string> = { "url.path": "/" }) => ({
  traceId: "c".repeat(32),
  spanId: n.toString(16).padStart(16, "0"),
  name: "GET /",
  kind: "server" as const,
  startTimeMs: 1_800,
  attributes,
});

let folder: string;
let file: Buffer;

function recorderAt(name: string): { recorder: CrashRecorder; path: string } {
  const path = join(folder, `${name}.record`);
  const identity = {
    ...ownIdentity(),
    incarnation: "0123456789abcdef",
    service: "told",
    instance: "told-1",
    bornAtMs: 1_000,
    resource: { "service.name": "told" },
  };
  return { recorder: new CrashRecorder(path, identity, (error) => expect.fail(String(error))), path };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-record-"));
  const { recorder, path } = recorderAt("whole");
  const watch = openWatchRecord(path);
  watch.beat({ atMs: 2_000, stallMs: 0, state: "ready" });
  watch.incident(incident);
  watch.anomaly(0, {
    kind: "stall",
    traceId: incident.traceId,
    spanId: incident.rootSpanId,
    startMs: 1_500,
    endMs: 1_700,
    told: true,
  });
  recorder.onStart(liveSpan(1));
  recorder.onStart(liveSpan(2));
  recorder.onEnd(liveSpan(1));
  recorder.exception(new TypeError("gone", { cause: new Error("the disk") }), {
    atMs: 2_050,
    fatal: true,
    origin: "uncaughtException",
    span: liveSpan(2),
  });
  watch.close();
  recorder.close();
  file = readFileSync(path);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const teller = { incarnation: "fedcba9876543210", bornAtMs: 3_000, bootedAtMs: 3_100 };

describe("telling a death", () => {
  it("says who, when and why, with the requests in flight and the incident it belongs to", () => {
    const story = tellDeath(parseRecord(file)!, teller);
    expect(story).toMatchObject({ cause: "exception", instance: "told-1", diedAtMs: 2_050, openSpans: 1 });
    expect(story.exception!.stacktrace).toMatch(/^TypeError: gone[\s\S]*Caused by: Error: the disk/);
    expect(story.spans.map((span) => span.name)).toEqual(["lifecycle.crash", "GET /", "lifecycle.boot"]);
    const [crash] = story.spans;
    expect(crash!.links!.map((link) => [link.spanId, link.attributes!["lifecycle.link"]])).toEqual([
      [liveSpan(2).spanId, "cause"],
      [incident.rootSpanId, "stall"],
    ]);
  });

  it("tells the same ids whenever it is told", () => {
    const ids = (boots: number) =>
      tellDeath(parseRecord(file)!, { ...teller, bootedAtMs: boots }).spans.map(
        (span) => `${span.traceId} ${span.spanId}`,
      );
    expect(ids(3_100)).toEqual(ids(9_999));
    expect(new Set(ids(3_100)).size).toBe(3);
  });

  it("knows the causes apart", () => {
    const record = (change: Partial<DeathRecord>): DeathRecord => ({
      ...parseRecord(file)!,
      exception: undefined,
      ...change,
    });
    const cause = (change: Partial<DeathRecord>) => tellDeath(record(change), null).cause;
    const shutdown = {
      trigger: "SIGTERM",
      traceId: "d".repeat(32),
      spanId: "e".repeat(16),
      startMs: 1_900,
      phases: [],
    };
    const anomaly = { traceId: incident.traceId, spanId: "f".repeat(16), startMs: 1_600 };
    expect(cause({})).toBe("no-warning");
    expect(cause({ end: { atMs: 2_000, kind: "shutdown", told: true } })).toBe("graceful");
    expect(cause({ end: { atMs: 2_000, kind: "exit", exitCode: 0, told: false } })).toBe("graceful");
    expect(cause({ end: { atMs: 2_000, kind: "exit", exitCode: 3, told: false } })).toBe("exit");
    expect(cause({ heapOom: true })).toBe("heap-oom");
    expect(cause({ shutdown })).toBe("grace-exceeded");
    const failed = { ...anomaly, kind: "probe" as const, path: "/livez", endMs: 1_600 };
    expect(cause({ anomalies: [{ ...anomaly, kind: "stall" }, failed] })).toBe("liveness-kill");
    expect(cause({ anomalies: [failed] })).toBe("no-warning");
    const caught = {
      type: "Error",
      message: "",
      stacktrace: "",
      origin: "uncaughtException" as const,
      atMs: 1_000,
      fatal: false,
    };
    expect(cause({ exception: caught, beat: { atMs: 9_000, stallMs: 0, state: "ready" } })).toBe("no-warning");
    expect(cause({ exception: caught, beat: { atMs: 1_100, stallMs: 0, state: "ready" } })).toBe("exception");
  });

  it("tells nothing, or the truth, from a record that was damaged", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 })), { maxLength: 20 }),
        fc.oneof({ weight: 3, arbitrary: fc.constant(file.length) }, fc.nat(file.length)),
        (flips, length) => {
          const damaged = Buffer.from(file.subarray(0, length));
          for (const [at, mask] of flips) if (at < damaged.length) damaged[at]! ^= mask;
          const record = parseRecord(damaged);
          if (!record) return;
          const story = tellDeath(record, teller);
          expect(["exception", "no-warning"]).toContain(story.cause);
          for (const span of story.spans) expect(span.endTimeMs).toBeGreaterThanOrEqual(span.startTimeMs);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe("crash recorder", () => {
  it("shortens a span that is too large, and counts those that find no slot", () => {
    const { recorder, path } = recorderAt("full");
    recorder.onStart(liveSpan(0, { "url.full": "x".repeat(5_000), "http.route": "/kept" }));
    for (let n = 1; n <= layout.spans.slots; n++) recorder.onStart(liveSpan(n));
    expect(recorder.lostSpans).toBe(1);
    recorder.onEnd(liveSpan(7));
    recorder.onStart(liveSpan(5_000));
    expect(recorder.lostSpans).toBe(1);
    recorder.close();
    recorder.onStart(liveSpan(6_000));
    const spans = parseRecord(readFileSync(path))!.spans;
    expect(spans).toHaveLength(layout.spans.slots);
    expect(spans[0]!.attributes).toEqual({ "url.full": "x".repeat(48), "http.route": "/kept" });
  });

  it("describes whatever can be thrown", () => {
    const { recorder, path } = recorderAt("odd");
    const hostile = new Error("fine");
    Object.defineProperty(hostile, "stack", {
      get() {
        throw new Error("no stack for you");
      },
    });
    for (const thrown of [
      undefined,
      null,
      7,
      "text",
      Symbol("s"),
      Object.create(null),
      hostile,
      new Error("€".repeat(9_000)),
    ]) {
      recorder.exception(thrown, { atMs: 1, fatal: true, origin: "uncaughtException" });
      const { type, message } = parseRecord(readFileSync(path))!.exception!;
      expect([type.length > 0, typeof message]).toEqual([true, "string"]);
    }
    recorder.close();
  });
});
