// The whole static check, in the order in which a mistake is cheapest to hear of. `npm run check -- --only types,links` runs some.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { dependencyProblems } from "./dependency-direction.ts";
import { packProblems } from "./pack-contents.ts";

interface Step {
  name: string;
  what: string;
  /** Resolves to what it printed; rejects with an Error that says what is wrong. */
  run(): Promise<string>;
}

const packages = readdirSync("packages").map((name) => join("packages", name));

const steps: readonly Step[] = [
  {
    name: "format",
    what: "Biome's formatter and linter",
    run: () => command("biome", ["check", "--error-on-warnings", "."]),
  },
  {
    name: "lint",
    what: "oxlint with type-aware promise rules",
    run: () => command("oxlint", ["--type-aware", "--deny-warnings"]),
  },
  {
    name: "types",
    what: "TypeScript over sources, tests and scripts",
    run: () => command("tsc", ["-p", "tsconfig.json"]),
  },
  { name: "direction", what: "which package may depend on which", run: async () => fail(dependencyProblems()) },
  { name: "dead-code", what: "knip: unused files, exports and dependencies", run: () => command("knip", []) },
  {
    name: "links",
    what: "links within the documentation",
    run: () =>
      command("remark", [
        "--frail",
        "--quiet",
        "--no-stdout",
        "README.md",
        "CONTRIBUTING.md",
        "docs",
        "packages/*/README.md",
        "apps/*/README.md",
      ]),
  },
  {
    name: "build",
    what: "tsc -b of every package",
    run: () => command("turbo", ["run", "build", "--output-logs=errors-only"]),
  },
  { name: "packages", what: "publint, attw and the files of every packed package", run: checkPackages },
];

async function checkPackages(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-pack-"));
  try {
    for (const path of packages) {
      const packed = JSON.parse(
        await command("npm", ["pack", "--json", "--silent", "--pack-destination", dir, `./${path}`]),
      );
      // npm 10 and 11 answer with a list, later ones with an object by name.
      const report = (Array.isArray(packed) ? packed[0] : Object.values(packed)[0]) as {
        filename: string;
        files: { path: string }[];
      };
      fail(
        packProblems(
          path,
          report.files.map((file) => file.path),
        ),
      );
      const tarball = join(dir, report.filename.replace("@", "").replace("/", "-"));
      await command("publint", ["--strict", tarball]);
      await command("attw", ["--profile", "esm-only", "--no-emoji", "--format", "ascii", tarball]);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  return `${packages.length} packages`;
}

function fail(problems: readonly string[]): string {
  if (problems.length > 0) throw new Error(problems.join("\n"));
  return "";
}

function command(name: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    // NODE_OPTIONS of the caller would reach every tool.
    const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", NO_UPDATE_NOTIFIER: "1" };
    const child = spawn(name, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (err += chunk));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${out}${err}${name} ended with ${code}`)),
    );
  });
}

const { values } = parseArgs({ options: { only: { type: "string" }, help: { type: "boolean", short: "h" } } });
if (values.help) {
  console.log(
    `npm run check [-- --only NAME,NAME]\n\n${steps.map((step) => `  ${step.name.padEnd(12)}${step.what}`).join("\n")}`,
  );
  process.exit(0);
}
const wanted = values.only?.split(",");
const unknown = wanted?.filter((name) => !steps.some((step) => step.name === name)) ?? [];
if (unknown.length > 0) {
  console.error(`No check is called ${unknown.join(", ")}. There are: ${steps.map((step) => step.name).join(", ")}`);
  process.exit(2);
}
let failed = 0;
const chosen = steps.filter((step) => wanted?.includes(step.name) ?? true);
for (const step of chosen) {
  const began = performance.now();
  try {
    await step.run();
    console.log(`ok      ${step.name.padEnd(12)}${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${step.name.padEnd(12)}${step.what}\n${(error as Error).message.trimEnd()}\n`);
  }
}
console.log(`checks: ${chosen.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
