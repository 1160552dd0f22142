import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * What each workspace may depend on at run time; every one may use testkit for its tests. knip sees to it that what a
 * file imports is declared in its package.json, so the declarations are all that must be read here.
 */
export const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  breaker: ["core"],
  client: ["core", "breaker"],
  policy: ["core"],
  lifecycle: ["core"],
  mtls: ["core"],
  telemetry: ["core"],
  testkit: ["core"],
  sdk: ["core", "breaker", "client", "policy", "lifecycle", "mtls", "telemetry"],
  "reference-service": ["sdk", "mtls"],
  "feedback-controller": ["core", "sdk", "policy", "telemetry", "lifecycle"],
  demo: ["core", "testkit"],
};

interface Manifest {
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** One line for each dependency that points the wrong way, naming the file and what would be right. */
export function dependencyProblems(root: string = "."): string[] {
  const problems: string[] = [];
  for (const group of ["packages", "apps"]) {
    for (const name of readdirSync(join(root, group))) {
      const file = join(root, group, name, "package.json");
      if (!existsSync(file)) continue;
      const manifest = JSON.parse(readFileSync(file, "utf8")) as Manifest;
      const may = allowed[name];
      if (!may) {
        problems.push(`${file}: scripts/dependency-direction.ts does not say what "${name}" may depend on`);
        continue;
      }
      for (const dependency of ours({ ...manifest.dependencies, ...manifest.peerDependencies })) {
        if (!may.includes(dependency))
          problems.push(
            `${file}: ${name} must not depend on ${dependency}; it may depend on ${may.join(", ") || "nothing"}`,
          );
      }
      for (const dependency of ours(manifest.devDependencies ?? {})) {
        if (dependency !== "testkit" && !may.includes(dependency))
          problems.push(`${file}: ${name} must not use ${dependency} in its tests`);
      }
    }
  }
  return problems;
}

function ours(dependencies: Record<string, string>): string[] {
  return Object.keys(dependencies)
    .filter((name) => name.startsWith("@holdfast/"))
    .map((name) => name.slice("@holdfast/".length));
}
