import { composeChecks } from "./compose.ts";

const suites: Readonly<Record<string, () => Promise<number>>> = { compose: composeChecks };

const wanted = process.argv.slice(2);
if (wanted.includes("--help")) {
  console.log(
    `npm run e2e [-- SUITE...]\n\nSuites: ${Object.keys(suites).join(", ")} (default: all). They need Docker with its compose plugin; image names come from\nthe environment (NODE_IMAGE, REDIS_IMAGE, POSTGRES_IMAGE, JAEGER_IMAGE: see compose.yaml).`,
  );
  process.exit(0);
}
const unknown = wanted.filter((name) => !(name in suites));
if (unknown.length > 0) {
  console.error(`No suite is called ${unknown.join(", ")}. There are: ${Object.keys(suites).join(", ")}`);
  process.exit(2);
}
let failed = 0;
for (const [name, run] of Object.entries(suites))
  if (wanted.length === 0 || wanted.includes(name)) failed += await run();
process.exit(failed > 0 ? 1 : 0);
