// Runs a command of this project on Node 26: `node scripts/node-26.ts vitest run`. The npm package `node` holds the binary;
// as a second devDependency it would take the place of Node 24 in node_modules/.bin, so it lives in a folder of its own.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

const VERSION = "26.10.0";
const home = resolve("node_modules/.cache/holdfast-node-26");
const bin = join(home, "node_modules/.bin");

if (!existsSync(join(bin, "node"))) {
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, "package.json"),
    JSON.stringify({ private: true, dependencies: { node: VERSION }, allowScripts: { node: true } }),
  );
  const { status } = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--prefix", home], {
    cwd: home,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error(`npm could not install node@${VERSION}`);
}

const [, , name, ...args] = process.argv;
if (!name) throw new Error("usage: node scripts/node-26.ts COMMAND [ARGUMENT...]");
const path = [bin, resolve("node_modules/.bin"), process.env.PATH].join(delimiter);
const { status } = spawnSync(name, args, { env: { ...process.env, PATH: path }, stdio: "inherit" });
process.exitCode = status ?? 1;
