import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultPolicy, loadPolicyFile, parsePolicy } from "./parse-policy.ts";
import { PolicyError, type PolicyProblem } from "./policy-error.ts";
import { goodDocuments } from "./testing/good-documents.ts";

const HEAD = "apiVersion: holdfast.dev/v1alpha1\nkind: Policy\n";

function problemsOf(text: string): PolicyProblem[] {
  try {
    parsePolicy(text);
  } catch (error) {
    expect(error).toBeInstanceOf(PolicyError);
    return [...(error as PolicyError).problems];
  }
  throw new Error("the document was accepted");
}

/** One target's problem, by the lines of the target. */
function problemOf(lines: string): string {
  const [problem, ...more] = problemsOf(`${HEAD}targets:\n  ledger: ${lines}\n`);
  expect(more).toEqual([]);
  const { path, message } = problem!;
  return `${path.replace("targets.ledger.", "")} ${message}`;
}

describe("a policy document", () => {
  it("becomes numbers: durations in milliseconds, percentages as shares", () => {
    const policy = parsePolicy(goodDocuments[0]!);
    expect(policy.namespace).toBe("demo");
    expect(policy.target("ledger")).toEqual({
      name: "ledger",
      urls: ["http://127.0.0.1:7301", "http://127.0.0.1:7302"],
      mode: "enforce",
      deadlineMs: 2_000,
      attemptTimeoutMs: 500,
      retry: { maxAttempts: 3, baseDelayMs: 50, maxDelayMs: 1_000, budgetRatio: 0.2, minRetriesPerSecond: 10 },
      breaker: {
        failureRateThreshold: 0.5,
        minimumCalls: 10,
        windowMs: 10_000,
        consecutiveFailures: 5,
        openMs: 2_000,
        maxOpenMs: 30_000,
        halfOpenPermits: 3,
      },
      pool: { size: 4 },
      tuning: {
        mode: "apply",
        bounds: {
          "breaker.failureRateThreshold": { min: 0.2, max: 0.8, maxStep: 0.1 },
          "pool.size": { min: 2, max: 20, maxStep: 4 },
        },
      },
    });
    expect(policy.lifecycle.graceMs).toBe(30_000);
    expect(policy.telemetry.metricExportIntervalMs).toBe(10_000);
  });

  it("shares settings by an alias, and may be JSON with tabs", () => {
    const shared = parsePolicy(goodDocuments[1]!);
    expect(shared.target("second").retry).toEqual(shared.target("first").retry);
    expect(shared.target("second").retry).toMatchObject({ maxAttempts: 5, baseDelayMs: 1_500, maxDelayMs: 1_500 });
    expect(shared.target("first")).toMatchObject({ mode: "off", urls: ["https://first.example:8443/base"] });
    const json = parsePolicy(goodDocuments[2]!);
    expect([...json.targets.keys()]).toEqual(["ledger", "1.2_3-4"]);
    expect(json.lifecycle.lameDuckMs).toBe(2_000);
  });

  it("observes, shadows and bounds nothing until it says otherwise, for targets it names and all others", () => {
    const named = parsePolicy(`${HEAD}targets: { ledger: {} }`).target("ledger");
    expect(named).toMatchObject({ mode: "observe", tuning: { mode: "shadow", bounds: {} }, urls: [] });
    expect(defaultPolicy().target("ledger")).toEqual(named);
    expect(parsePolicy(HEAD).target("ledger")).toEqual(named);
    expect(parsePolicy(HEAD).target("toString")).toEqual({ ...named, name: "toString" });
  });

  it("bends a default to what was given beside it", () => {
    const { ledger } = Object.fromEntries(
      parsePolicy(`${HEAD}targets: { ledger: { deadline: 1s, retry: { baseDelay: 5s }, breaker: { openFor: 3m } } }`)
        .targets,
    );
    expect([ledger?.attemptTimeoutMs, ledger?.retry.maxDelayMs, ledger?.breaker.maxOpenMs]).toEqual([
      1_000, 5_000, 180_000,
    ]);
  });

  it("can't be changed once it is read", () => {
    const { ledger } = Object.fromEntries(parsePolicy(goodDocuments[0]!).targets);
    const parts = [ledger, ledger?.retry, ledger?.urls, ledger?.tuning.bounds, ledger?.tuning.bounds["pool.size"]];
    expect(parts.every(Object.isFrozen)).toBe(true);
  });

  it("is told everything that is wrong with it at once, each with its place and what would be right", () => {
    const text = `apiVersion: holdfast.dev/v1alpha1
kind: Polcy
targtes: {}
targets:
  ledger:
    urls: [http://a, "http://u:secret@b"]
    mode: enforced
    deadline: 2
    retires: { maxAttempts: 3 }
    maxAttempts: 3
    windw: 3s
    retry: { maxAttempts: 30, budget: 0.2, minRetriesPerSecond: "4" }
    tuning: { bounds: { pool.size: { min: 1 }, pool.sze: {} } }
`;
    expect(problemsOf(text).map(({ path, line, column, message }) => `${line}:${column} ${path} ${message}`)).toEqual([
      '2:7 kind must be Policy, not "Polcy"',
      '3:1 targtes is unknown; did you mean "targets"?',
      "6:22 targets.ledger.urls[1] must not carry a user or password: a policy is read by many; set a header in the code",
      '7:11 targets.ledger.mode must be one of enforce, observe, off, not "enforced"; did you mean enforce?',
      '8:15 targets.ledger.deadline must be a duration from 1ms to 1h: 2 has no unit, write "2ms" or "2s"',
      '9:5 targets.ledger.retires is unknown; did you mean "retry"?',
      "10:5 targets.ledger.maxAttempts is unknown here; it belongs below retry",
      '11:5 targets.ledger.windw is unknown; did you mean "window" below breaker?',
      "12:27 targets.ledger.retry.maxAttempts must be a whole number from 1 to 10, not 30",
      '12:39 targets.ledger.retry.budget must be a percentage from 0% to 100%: 0.2 has no percent sign, write "20%"',
      '12:65 targets.ledger.retry.minRetriesPerSecond must be a whole number from 0 to 1000, not "4": remove the quotes',
      '13:36 targets.ledger.tuning.bounds["pool.size"] needs the key max: a whole number from 1 to 10000',
      '13:48 targets.ledger.tuning.bounds["pool.sze"] is unknown; did you mean "pool.size"?',
    ]);
  });

  it("names its file in the message, never a secret of a URL", () => {
    const text = `${HEAD}targets: { ledger: { url: "http://u:secret@b" } }`;
    expect(() => parsePolicy(text, { file: "conf/policy.yaml" })).toThrow(
      /^conf\/policy\.yaml:3:27: targets\.ledger\.url /,
    );
    expect(() => parsePolicy(text)).not.toThrow(/secret/);
  });

  it.each<[string, string]>([
    [
      "{ deadline: 5 s }",
      'deadline must be a duration from 1ms to 1h, not "5 s": write a number and a unit, such as "250ms", "1.5s", "2m" or "1h"',
    ],
    [
      "{ deadline: -1s }",
      'deadline must be a duration from 1ms to 1h, not "-1s": write a number and a unit, such as "250ms", "1.5s", "2m" or "1h"',
    ],
    ["{ deadline: 2h }", "deadline must be a duration from 1ms to 1h, not 2h"],
    ["{ deadline: 0s }", "deadline must be a duration from 1ms to 1h, not 0ms"],
    ["{ deadline: .inf }", "deadline must be a duration from 1ms to 1h, not Infinity"],
    ["{ deadline: [1s] }", "deadline must be a duration from 1ms to 1h, not a list"],
    ["{ deadline: }", "deadline must be a duration from 1ms to 1h, not nothing"],
    ["{ deadline: 1s, attemptTimeout: 2s }", "attemptTimeout is longer than deadline; make it at most as long"],
    [
      "{ retry: { baseDelay: 2s, maxDelay: 1s } }",
      "retry.maxDelay is shorter than baseDelay; make it at least as long",
    ],
    [
      "{ breaker: { openFor: 2s, maxOpenFor: 1s } }",
      "breaker.maxOpenFor is shorter than openFor; make it at least as long",
    ],
    [
      "{ breaker: { failureRateThreshold: 0% } }",
      "breaker.failureRateThreshold must be a percentage from 1% to 100%, not 0%",
    ],
    [
      "{ breaker: { failureRateThreshold: 50 } }",
      'breaker.failureRateThreshold must be a percentage from 1% to 100%: 50 has no percent sign, write "50%"',
    ],
    ["{ pool: { size: 2.5 } }", "pool.size must be a whole number from 1 to 10000, not 2.5"],
    ["{ pool: { size: .nan } }", "pool.size must be a whole number from 1 to 10000, not NaN"],
    ["{ pool: 4 }", "pool must be a map with keys such as size, not 4"],
    ["{ mode: true }", "mode must be one of enforce, observe, off, not true"],
    ["{ url: ledger:8080 }", 'url must be an http or https URL, such as "http://ledger:8080"'],
    ["{ url: http://a, urls: [http://b] }", "url and urls are both given; keep one of them"],
    ["{ urls: [] }", "urls must be a list of 1 to 64: an http or https URL; not one of 0"],
    ["{ urls: [http://a, http://a] }", "urls[1] is in the list twice; remove one"],
    ["{ mode: off, mode: off }", "mode is given twice, first in line 4; remove one"],
    ["{ pool: !!omap { size: 1 } }", 'pool carries the tag "tag:yaml.org,2002:omap"; a policy has none, remove it'],
    ["{ pool: *nowhere }", "pool refers to *nowhere, which no anchor before it defines"],
    ["{ pool: &self { size: *self } }", "pool.size refers to *self, which no anchor before it defines"],
    [
      "{ <<: { mode: off } }",
      '["<<"] is unknown; the keys here are url, urls, mode, deadline, attemptTimeout, retry, breaker, pool, tuning',
    ],
    [
      "{ __proto__: { mode: off } }",
      "__proto__ is unknown; the keys here are url, urls, mode, deadline, attemptTimeout, retry, breaker, pool, tuning",
    ],
    [
      "{ tuning: { bounds: { pool.size: { min: 5, max: 4 } } } }",
      'tuning.bounds["pool.size"].max is less than min; make it at least 5',
    ],
    [
      "{ pool: { size: 1 }, tuning: { bounds: { pool.size: { min: 2, max: 4 } } } }",
      "tuning binds pool.size to 2 to 4, but the target's own value is 1; widen the bounds or change the value",
    ],
    ["{ [a]: 1 }", "targets.ledger has a key that is no text; write it in quotes if it is meant as one"],
  ])("refuses %s", (lines, problem) => {
    expect(problemOf(lines).replace(/^targets\.ledger(?=\[)/, "")).toBe(problem);
  });

  it.each<[string, string, RegExp]>([
    ["nothing", "", /is empty/],
    ["nothing but a comment", "# nothing\n", /is empty/],
    ["a list", "- a\n", /must be a map with keys such as apiVersion, kind/],
    ["no apiVersion", "kind: Policy\n", /needs the key apiVersion: `holdfast\.dev\/v1alpha1`/],
    [
      "another version",
      "apiVersion: holdfast.dev/v9\nkind: Policy\n",
      /must be holdfast\.dev\/v1alpha1, not "holdfast\.dev\/v9"/,
    ],
    ["two documents", `${HEAD}---\n${HEAD}`, /starts a second document/],
    ["YAML 1.1, where off is false", `%YAML 1.1\n---\n${HEAD}`, /asks for YAML 1\.1/],
    ["no YAML", "a: b: c\n", /can't be read as YAML or JSON/],
    ["more than 256 KiB", `${HEAD}# ${"ä".repeat(131_072)}`, /is larger than 256 KiB/],
    ["a name that would need quoting", `${HEAD}targets: { "a/b": {} }`, /must be a name/],
    ["no time to drain", `${HEAD}lifecycle: { grace: 6s, lameDuck: 5s }`, /leaves less than 2s of grace/],
    [
      "readiness slower than liveness",
      `${HEAD}lifecycle: { livenessStall: 1s, readinessStall: 2s }`,
      /is longer than livenessStall/,
    ],
  ])("refuses %s", (_name, text, message) => {
    expect(
      problemsOf(text)
        .map((problem) => problem.message)
        .join("\n"),
    ).toMatch(message);
  });

  it.each<[string, string]>([
    ["brackets without end", "[".repeat(100_000)],
    ["maps without end", "{a: ".repeat(60_000)],
    ["a stair of lists", "- ".repeat(100_000)],
    [
      "a bomb of aliases",
      `a: &a [x]\n${Array.from({ length: 40 }, (_, i) => `b${i}: &b${i} [${Array(9).fill(i ? `*b${i - 1}` : "*a")}]`).join("\n")}`,
    ],
    [
      "aliases in every target",
      `${HEAD}targets:\n  a: &a {}\n${Array.from({ length: 2_000 }, (_, i) => `  t${i}: *a`).join("\n")}`,
    ],
    ["a great many unknown keys", Array.from({ length: 30_000 }, (_, i) => `k${i}:`).join("\n")],
    ["a great many targets", `${HEAD}targets:\n${Array.from({ length: 9_000 }, (_, i) => `  t${i}: {}`).join("\n")}`],
  ])("refuses %s within bounds", (_name, text) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeLessThanOrEqual(100);
    expect(problems.every(({ line, column }) => line >= 1 && column >= 1)).toBe(true);
  });
});

describe("a policy file", () => {
  it("is read, and named in what is wrong with it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-policy-"));
    const file = join(directory, "policy.yaml");
    await writeFile(file, goodDocuments[0]!);
    expect(loadPolicyFile(file).namespace).toBe("demo");
    await writeFile(file, `\ufeff${HEAD}`);
    expect(loadPolicyFile(file).namespace).toBe("default");
    await writeFile(file, Buffer.from([0x61, 0xff]));
    expect(() => loadPolicyFile(file)).toThrow(`${file}:1:1: is not UTF-8`);
    await writeFile(file, Buffer.alloc(300_000, 0xff));
    expect(() => loadPolicyFile(file)).toThrow("is larger than 256 KiB");
    await rm(directory, { recursive: true });
    expect(() => loadPolicyFile(file)).toThrow("ENOENT");
  });
});
