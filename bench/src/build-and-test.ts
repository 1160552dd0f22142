import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BarResult } from "./bar.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** How long a build from clean and the tests take, in a copy without any cache. Reported, not asserted. */
export async function run(): Promise<BarResult> {
  const copy = mkdtempSync(join(tmpdir(), "holdfast-build-"));
  try {
    const skipped = /(^|\/)(node_modules|dist|coverage|\.turbo|\.git)(\/|$)/;
    cpSync(root, copy, { recursive: true, filter: (source) => !skipped.test(source.slice(root.length)) });
    await seconds("git", ["init", "-q"], copy);
    await seconds("npm", ["ci", "--no-audit", "--no-fund", "--prefer-offline", "--silent"], copy);
    const build = await seconds("npm", ["run", "build", "--silent", "--", "--force"], copy);
    const test = await seconds("npm", ["test", "--silent"], copy);
    return {
      name: "build-and-test",
      bar: "build from clean <= 30 s, npm test <= 240 s (reported)",
      figures: { "build from clean, s": build, "npm test, s": test },
    };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function seconds(name: string, args: readonly string[], cwd: string): Promise<number> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0
        ? resolve((performance.now() - began) / 1_000)
        : reject(new Error(`${name} ${args.join(" ")} ended with ${code}`)),
    );
  });
}
