import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { dependencyProblems } from "./dependency-direction.ts";

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function workspace(manifests: Record<string, object>): string {
  const root = mkdtempSync(join(tmpdir(), "holdfast-direction-"));
  roots.push(root);
  mkdirSync(join(root, "packages"));
  mkdirSync(join(root, "apps"));
  for (const [path, manifest] of Object.entries(manifests)) {
    mkdirSync(join(root, path));
    writeFileSync(join(root, path, "package.json"), JSON.stringify(manifest));
  }
  return root;
}

describe("the direction of dependencies", () => {
  it("holds in this project", () => {
    expect(dependencyProblems()).toEqual([]);
  });

  it("is broken by a package that depends on one above it, also as a peer", () => {
    const root = workspace({ "packages/breaker": { peerDependencies: { "@holdfast/client": "1" } } });
    expect(dependencyProblems(root)).toEqual([
      expect.stringContaining("breaker must not depend on client; it may depend on core"),
    ]);
  });

  it("lets tests use the test kit and nothing else from the side", () => {
    const root = workspace({
      "packages/policy": { devDependencies: { "@holdfast/testkit": "1", "@holdfast/breaker": "1" } },
    });
    expect(dependencyProblems(root)).toEqual([expect.stringContaining("policy must not use breaker in its tests")]);
  });

  it("asks for a place for every new package", () => {
    expect(dependencyProblems(workspace({ "packages/new": {} }))).toEqual([expect.stringContaining('"new"')]);
  });
});
