import { describe, expect, it } from "vitest";
import { processGlobal } from "./process-global.ts";
import { jsonLinesSink, newSpanId, newTraceId } from "./story.ts";

describe("ids", () => {
  it("have the lengths that W3C Trace Context asks for and do not repeat", () => {
    const traces = Array.from({ length: 1_000 }, newTraceId);
    expect(traces.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
    expect(new Set(traces).size).toBe(1_000);
    expect(newSpanId()).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe("jsonLinesSink", () => {
  it("writes a line a span", async () => {
    const lines: string[] = [];
    const span = { traceId: newTraceId(), spanId: newSpanId(), name: "lifecycle.crash", startTimeMs: 1, endTimeMs: 2 };
    await jsonLinesSink((line) => lines.push(line)).exportSpans([span, span]);
    expect(lines.map((line) => JSON.parse(line))).toEqual([{ story: span }, { story: span }]);
  });
});

describe("processGlobal", () => {
  it("gives two copies of a package the same object, and another shape its own", () => {
    const first = processGlobal("test-registry", 1, () => new Map());
    expect(processGlobal("test-registry", 1, () => new Map())).toBe(first);
    expect(processGlobal("test-registry", 2, () => new Map())).not.toBe(first);
  });
});
