import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import type { BarModule, BarResult } from "./bar.ts";

// In the order of what they cost; each is loaded only when it runs, so that one's imports do not warm another's.
const bars: Readonly<Record<string, () => Promise<BarModule>>> = {
  "gate-cost": () => import("./gate-cost.ts"),
  "pipeline-cost": () => import("./pipeline-cost.ts"),
  "trip-propagation": () => import("./trip-propagation.ts"),
  garbage: () => import("./garbage.ts"),
  "build-and-test": () => import("./build-and-test.ts"),
};

const wanted = process.argv.slice(2);
if (wanted.includes("--help")) {
  console.log(
    `npm run bars [-- NAME...]\n\nBars: ${Object.keys(bars).join(", ")} (default: all). Figures go to bench/results/NAME.json.`,
  );
  process.exit(0);
}
const unknown = wanted.filter((name) => !(name in bars));
if (unknown.length > 0) {
  console.error(`No bar is called ${unknown.join(", ")}. There are: ${Object.keys(bars).join(", ")}`);
  process.exit(2);
}

const results = new URL("../results/", import.meta.url);
mkdirSync(results, { recursive: true });
const rows: BarResult[] = [];
for (const [name, load] of Object.entries(bars)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`${name} ...`);
  const began = performance.now();
  let result: BarResult;
  try {
    result = await (await load()).run();
  } catch (error) {
    result = { name, bar: "runs", met: false, figures: { error: (error as Error).message } };
  }
  rows.push(result);
  const machine = { node: process.version, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) };
  writeFileSync(
    new URL(`${name}.json`, results),
    `${JSON.stringify({ ...result, machine, measuredAt: new Date().toISOString() }, null, 2)}\n`,
  );
  console.log(`  ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}
console.log();
for (const { name, bar, met, figures } of rows) {
  console.log(`${met === undefined ? "told" : met ? "met " : "MISSED"}  ${name}${bar ? `: ${bar}` : ""}`);
  for (const [figure, value] of Object.entries(figures))
    console.log(`        ${figure.padEnd(40)}${typeof value === "number" ? Number(value.toPrecision(4)) : value}`);
}
process.exit(rows.some(({ met }) => met === false) ? 1 : 0);
