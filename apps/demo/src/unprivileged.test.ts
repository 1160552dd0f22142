import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isReachableForAll, reachableTmpdir } from "./unprivileged.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-reach-"));
  mkdirSync(join(directory, "open"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

it("sees that an open directory below a closed one cannot be reached", () => {
  expect(isReachableForAll(join(directory, "open"))).toBe(false);
  chmodSync(directory, 0o711);
  expect(isReachableForAll(join(directory, "open"))).toBe(true);
  expect(isReachableForAll(join(directory, "open", "not", "there", "yet"))).toBe(true);
  chmodSync(directory, 0o700);
});

it("passes over a temporary directory that only its owner can reach", () => {
  expect(reachableTmpdir([join(directory, "open"), "/tmp"])).toBe("/tmp");
  expect(() => reachableTmpdir([directory])).toThrow("no temporary directory");
});
