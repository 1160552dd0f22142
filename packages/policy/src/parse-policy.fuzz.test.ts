import { Ajv } from "ajv";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { policyJsonSchema } from "./json-schema.ts";
import { parsePolicy } from "./parse-policy.ts";
import type { Policy } from "./policy.ts";
import { PolicyError } from "./policy-error.ts";
import { goodDocuments } from "./testing/good-documents.ts";
import { checkTunable, getTunable, tunables } from "./tunable.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const matchesSchema = new Ajv({ strict: true }).compile(policyJsonSchema());

/** The policy, or null when it was refused as a document must be; anything else that is thrown fails the test. */
function read(text: string): Policy | null {
  try {
    return parsePolicy(text);
  } catch (error) {
    expect(error).toBeInstanceOf(PolicyError);
    const { problems, message } = error as PolicyError;
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) {
      expect(problem.line).toSatisfy((line: number) => Number.isInteger(line) && line >= 1);
      expect(problem.column).toSatisfy((column: number) => Number.isInteger(column) && column >= 1);
      expect(problem.message).not.toMatch(/undefined|\[object/);
    }
    expect(message.length).toBeLessThan(20_000);
    return null;
  }
}

/** Whatever was accepted can be run: every number in its range, every bound around its value. */
function expectSound(policy: Policy): void {
  for (const target of policy.targets.values()) {
    const { deadlineMs, attemptTimeoutMs, retry, breaker } = target;
    expect(deadlineMs).toSatisfy((ms: number) => ms >= 1 && ms <= 3_600_000);
    expect(attemptTimeoutMs).toSatisfy((ms: number) => ms >= 1 && ms <= deadlineMs);
    expect(retry.maxDelayMs).toBeGreaterThanOrEqual(retry.baseDelayMs);
    expect(retry.budgetRatio).toSatisfy((ratio: number) => ratio >= 0 && ratio <= 1);
    expect(breaker.maxOpenMs).toBeGreaterThanOrEqual(breaker.openMs);
    for (const knob of tunables) expect(checkTunable(target, knob, getTunable(target, knob))).toBeUndefined();
  }
  expect(policy.lifecycle.lameDuckMs).toBeLessThan(policy.lifecycle.graceMs);
}

const anyDocument = fc.constantFrom(...goodDocuments);

/** Slips of an editor: something lost, doubled, moved or typed in the wrong place. */
const slip = fc.record({
  kind: fc.constantFrom("delete", "insert", "repeat", "replace", "swap lines", "indent", "cut"),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  length: fc.integer({ min: 1, max: 12 }),
  text: fc.oneof(
    fc.string({ maxLength: 4 }),
    fc.constantFrom(
      ":",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a ",
      "*a",
      "!!str ",
      "\t",
      "\n",
      '"',
      "'",
      "%",
      "|\n",
      "---\n",
      "\u0000",
      "\ud800",
      "?",
      "<<: ",
    ),
    fc.constantFrom(
      "-1",
      "1e9",
      "0x10",
      "99999999999999999999",
      "null",
      "true",
      "~",
      "50",
      "5s",
      "200%",
      ".nan",
      "__proto__: 1",
    ),
  ),
});
type Slip = typeof slip extends fc.Arbitrary<infer T> ? T : never;

function slipped(text: string, { kind, at, length, text: typed }: Slip): string {
  const start = Math.floor(at * text.length);
  const [before, inside, after] = [text.slice(0, start), text.slice(start, start + length), text.slice(start + length)];
  switch (kind) {
    case "delete":
      return before + after;
    case "insert":
      return before + typed + inside + after;
    case "repeat":
      return before + inside + inside + after;
    case "replace":
      return before + typed + after;
    case "cut":
      return before;
    default: {
      const lines = text.split("\n");
      const line = Math.floor(at * lines.length);
      if (kind === "indent") lines[line] = " ".repeat(length) + lines[line];
      else lines.splice(line, 1, ...lines.splice((line + length) % lines.length, 1), lines[line] ?? "");
      return lines.join("\n");
    }
  }
}

const anyLeaf: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    false,
    "",
    [],
    {},
    "5s",
    "0s",
    "50%",
    "1e3",
    "enforce",
    "off",
    "apply",
    "http://a",
    "2h",
    "0.5ms",
    "100.1%",
  ),
  fc.integer({ min: -3, max: 20_000 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ maxLength: 6 }),
);

/** Replaces, renames, removes or adds one thing somewhere in a tree. */
function changed(tree: Json, path: readonly number[], kind: string, leaf: Json, name: string): Json {
  if (tree === null || typeof tree !== "object" || path.length === 0) return leaf;
  const keys = Object.keys(tree);
  const key = keys[path[0]! % Math.max(1, keys.length)];
  if (Array.isArray(tree))
    return tree.map((item, i) => (String(i) === key ? changed(item, path.slice(1), kind, leaf, name) : item));
  const entries = Object.entries(tree);
  if (path.length === 1 && kind === "add") return Object.fromEntries([...entries, [name, leaf]]);
  return Object.fromEntries(
    entries.flatMap(([each, value]): [string, Json][] => {
      if (each !== key) return [[each, value]];
      if (path.length === 1 && kind === "remove") return [];
      if (path.length === 1 && kind === "rename") return [[name, value]];
      return [[each, changed(value, path.slice(1), kind, leaf, name)]];
    }),
  );
}

const knownNames = [
  "mode",
  "url",
  "urls",
  "retry",
  "max",
  "min",
  "maxStep",
  "deadline",
  "pool",
  "size",
  "$schema",
  "bounds",
  "pool.size",
  "a b",
  "constructor",
];

const changedTree: fc.Arbitrary<Json> = fc
  .record({
    document: anyDocument,
    path: fc.array(fc.nat({ max: 12 }), { maxLength: 6 }),
    kind: fc.constantFrom("replace", "rename", "remove", "add"),
    leaf: anyLeaf,
    name: fc.constantFrom(...knownNames),
  })
  .map(({ document, path, kind, leaf, name }) => changed(parseYaml(document) as Json, path, kind, leaf, name));

describe("any document", () => {
  it("made by a slip or two from a good one is refused with its place, or is sound; nothing crashes", () => {
    let refused = 0;
    fc.assert(
      fc.property(anyDocument, fc.array(slip, { minLength: 1, maxLength: 3 }), (good, slips) => {
        const policy = read(slips.reduce(slipped, good));
        if (policy) expectSound(policy);
        else refused++;
      }),
      { numRuns: 1_000 },
    );
    expect(refused).toBeGreaterThan(300);
  });

  it("of any text at all is refused with its place", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary", maxLength: 200 }), fc.json()), (text) => {
        expect(read(text)).toBeNull();
      }),
      { numRuns: 500 },
    );
  });

  it("that is accepted is accepted by the JSON Schema, and what the schema refuses is refused", () => {
    let accepted = 0;
    fc.assert(
      fc.property(changedTree, (tree) => {
        const policy = read(JSON.stringify(tree));
        if (!policy) return;
        accepted++;
        expectSound(policy);
        matchesSchema(tree);
        expect(matchesSchema.errors ?? []).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
    expect(accepted).toBeGreaterThan(30);
  });

  it("means the same written as JSON and as YAML", () => {
    fc.assert(
      fc.property(anyDocument, (document) => {
        const { target: _yaml, ...asYaml } = parsePolicy(document);
        const { target: _json, ...asJson } = parsePolicy(JSON.stringify(parseYaml(document)));
        expect(asJson).toEqual(asYaml);
      }),
    );
  });
});
