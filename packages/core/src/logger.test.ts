import { describe, expect, it } from "vitest";
import type { Clock } from "./clock.ts";
import { jsonLogger, type Logger, rateLimitedLogger } from "./logger.ts";

const at = (time: { ms: number }): Clock => ({
  now: () => time.ms,
  monotonic: () => time.ms,
  after: () => ({ cancel() {} }),
});

describe("jsonLogger", () => {
  it("writes one object a line, with an error's code but not its stack", () => {
    const lines: string[] = [];
    const logger = jsonLogger({ base: { service: "a" }, write: (line) => lines.push(line), clock: at({ ms: 0 }) });
    logger.warn({ error: Object.assign(new Error("line\nbreak"), { code: "ECONNREFUSED" }), big: 1n }, "gone");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      level: "warn",
      service: "a",
      msg: "gone",
      error: { name: "Error", message: "line\nbreak", code: "ECONNREFUSED" },
      big: "1",
    });
    expect(lines[0]).not.toContain("\n");
  });

  it("leaves out what is below its level", () => {
    const lines: string[] = [];
    const logger = jsonLogger({ level: "warn", write: (line) => lines.push(line) });
    logger.info({}, "quiet");
    logger.error({}, "loud");
    expect(lines).toHaveLength(1);
  });
});

describe("rateLimitedLogger", () => {
  it("passes the first of a run, counts the rest, and tells the count with the next", () => {
    const time = { ms: 0 };
    const seen: [object, string][] = [];
    const sink: Logger = { debug() {}, info() {}, error() {}, warn: (fields, message) => seen.push([fields, message]) };
    const logger = rateLimitedLogger(sink, { everyMs: 1_000, clock: at(time) });
    for (let i = 0; i < 5; i++) logger.warn({ i }, "store unreachable");
    logger.warn({}, "another");
    time.ms = 1_000;
    logger.warn({ i: 5 }, "store unreachable");
    expect(seen).toEqual([
      [{ i: 0 }, "store unreachable"],
      [{}, "another"],
      [{ i: 5, suppressed: 4 }, "store unreachable"],
    ]);
  });
});
