import { readFile } from "node:fs/promises";
import { HoldfastError } from "@holdfast/core";
import { Admin } from "./admin.ts";
import { composeFleet } from "./compose-fleet.ts";
import { Events } from "./events.ts";
import type { Fleet } from "./fleet.ts";
import { localFleet } from "./local-fleet.ts";
import { type DemoOptions, parseOptions, UsageError, usage } from "./options.ts";
import { PortTakenError } from "./ports.ts";
import { allHappened, renderReport } from "./report.ts";
import { tellStory } from "./tell.ts";
import { Terminal } from "./terminal.ts";
import { Traffic } from "./traffic.ts";

/** Checkouts a second: enough to keep the ledger's small pool busy, little enough for two cores. */
const RATE = 40;
/** The story must end by itself within 120 s; whatever hangs is cut before that. */
const LONGEST_STORY_MS = 115_000;

const policyFile = new URL("../policy.yaml", import.meta.url);

async function main(): Promise<number> {
  let options: DemoOptions | "help";
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    return 2;
  }
  if (options === "help") {
    console.log(usage);
    return 0;
  }

  const terminal = new Terminal();
  const interrupted = new Promise<"interrupted">((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve("interrupted"));
  });
  terminal.heading("Holdfast: a fleet that shares its breakers, tunes itself and explains its crashes");
  terminal.print(
    `\nThe policy of this run (${options.compose ? "in the containers" : "apps/demo/policy.yaml"}):\n\n${indent(await readFile(policyFile, "utf8"))}`,
  );

  let fleet: Fleet;
  try {
    const starting = options.compose ? composeFleet(terminal) : localFleet(options, policyFile, terminal);
    fleet = await starting;
  } catch (error) {
    const expected = HoldfastError.is(error) || error instanceof PortTakenError;
    console.error(`\n${expected ? error.message : (error as Error).stack}`);
    return 1;
  }
  try {
    return options.keep
      ? await keepRunning(fleet, terminal, interrupted)
      : await runStory(fleet, terminal, interrupted);
  } finally {
    await fleet.close();
  }
}

async function runStory(fleet: Fleet, terminal: Terminal, interrupted: Promise<"interrupted">): Promise<number> {
  using events = new Events(fleet);
  await using traffic = new Traffic({ urls: storefronts(fleet), rate: RATE });
  traffic.start();
  const tooLong = new Promise<"too long">((resolve) => setTimeout(() => resolve("too long"), LONGEST_STORY_MS).unref());
  const outcome = await Promise.race([
    tellStory({ fleet, events, admin: new Admin(fleet), traffic, terminal }),
    interrupted,
    tooLong,
  ]);
  if (outcome === "interrupted") return 130;
  if (outcome === "too long") {
    console.error(`\nThe story was not over after ${LONGEST_STORY_MS / 1_000} s.`);
    return 1;
  }
  terminal.print(`\n${renderReport(outcome)}`);
  if (fleet.jaegerUrl) {
    terminal.print("\nIn Jaeger");
    for (const { what, traceId } of outcome)
      if (traceId) terminal.print(`  ${what}: ${fleet.jaegerUrl}/trace/${traceId}`);
    terminal.print(`  checkouts: ${fleet.jaegerUrl}/search?service=storefront`);
    terminal.print(
      `  rejected by an open breaker: ${fleet.jaegerUrl}/search?service=payments&tags=${encodeURIComponent('{"holdfast.rejection.reason":"breaker-open"}')}`,
    );
    terminal.print(`  shutdowns: ${fleet.jaegerUrl}/search?service=payments&operation=lifecycle.shutdown`);
  }
  return allHappened(outcome) ? 0 : 1;
}

async function keepRunning(fleet: Fleet, terminal: Terminal, interrupted: Promise<"interrupted">): Promise<number> {
  terminal.heading("Running until Ctrl-C");
  for (const url of storefronts(fleet))
    terminal.print(
      `  curl -X POST ${url}/checkout -H 'content-type: application/json' -d '{"orderId":"a-1","amountCents":1299}'`,
    );
  terminal.print(`  curl ${fleet.controllerUrl}/api/decisions`);
  terminal.print(`  admin token: ${fleet.adminToken}`);
  for (const { name, adminUrl, probeUrl } of fleet.instances)
    terminal.print(`  ${name.padEnd(14)} admin ${adminUrl}/admin/faults   probes ${probeUrl}/readyz?verbose`);
  const alive = setInterval(() => {}, 60_000);
  await interrupted;
  clearInterval(alive);
  await fleet.stopServices();
  return 0;
}

function storefronts(fleet: Fleet): string[] {
  return fleet.instances.filter(({ role }) => role === "storefront").map(({ url }) => url!);
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "  ");
}

process.exit(await main());
