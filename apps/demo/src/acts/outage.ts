import { numberField } from "../events.ts";
import type { FleetLine } from "../fleet.ts";
import { type Act, instancesOf, ms, type Stage, watchTraffic } from "./stage.ts";

interface LedgerStatus {
  /** Requests that reached the handler since the process started. */
  requests: number;
}

export const outage: Act = {
  title: "3  The ledger fails: every instance's breaker opens",
  async play(stage) {
    const { fleet, events, admin, terminal, traffic } = stage;
    const ledgers = instancesOf(fleet, "ledger");
    const payments = instancesOf(fleet, "payments");
    const reachedBefore = await reached(stage);
    const brokenAt = Date.now();
    await Promise.all(ledgers.map((ledger) => admin.inject(ledger, { errorRate: 1, ttlMs: 60_000 })));
    terminal.say(`every call to ${ledgers.map((ledger) => ledger.name).join(" and ")} fails from now on`);

    const opened = await events.until(() => {
      const opens = firstOpen(events.all("breaker transition"), brokenAt);
      return payments.every((instance) => opens.has(instance.name)) ? opens : undefined;
    }, 15_000);
    const reachedAtOpen = await reached(stage);
    const times = opened ? [...opened.values()].map((line) => numberField(line, "atMs")).sort((a, b) => a - b) : [];
    const spreadMs = times.length > 1 ? times.at(-1)! - times[0]! : Number.NaN;
    if (opened) {
      for (const [name, line] of opened)
        terminal.say(
          `${name}: open ${Math.round(numberField(line, "atMs") - brokenAt)} ms after the fault, told by ${line.fields.origin === "fleet" ? "the fleet" : "its own window"}`,
        );
    }

    const openFrom = Date.now();
    await watchTraffic(stage, "the ledger is down", 3_000);
    const reachedAfter = await reached(stage);
    const seen = traffic.summary(openFrom);
    terminal.say(
      `${seen.calls} checkouts while it was down: ${seen.deferred} deferred, ${seen.errors} failed; ${reachedAfter - reachedAtOpen} calls reached the ledger, as trials`,
    );

    const healedAt = Date.now();
    await Promise.all(ledgers.map((ledger) => admin.heal(ledger)));
    terminal.say("the ledger is healthy again");
    const closed = await events.until(() => {
      const closes = payments.map((instance) =>
        events
          .all(
            "breaker transition",
            (line) =>
              isLedger(line) &&
              line.instance === instance.name &&
              line.fields.to === "closed" &&
              numberField(line, "atMs") >= healedAt,
          )
          .at(-1),
      );
      return closes.every((line) => line !== undefined) ? closes.map((line) => numberField(line!, "atMs")) : undefined;
    }, 20_000);
    const recoveredMs = closed ? Math.max(...closed) - healedAt : Number.NaN;
    const after = Date.now();
    await watchTraffic(stage, "recovered", 2_000);
    const since = traffic.summary(after);
    terminal.say(
      `every breaker closed ${ms(recoveredMs)} after the ledger came back; ${since.charged} of ${since.calls} checkouts charged since`,
    );

    return [
      {
        what: "all breakers open",
        measured: opened
          ? `first ${ms(times[0]! - brokenAt)} after the fault, last ${ms(spreadMs)} after the first; ${reachedAtOpen - reachedBefore} calls got through until then`
          : "not within 15 s",
        happened: opened !== undefined,
      },
      {
        what: "while it was down",
        measured: `${seen.calls} checkouts: ${seen.deferred} deferred, ${seen.errors} failed; ${reachedAfter - reachedAtOpen} trial calls reached the ledger`,
        happened: opened !== undefined && reachedAfter - reachedAtOpen < seen.calls / 4,
      },
      {
        what: "recovery",
        measured: closed ? `all closed ${ms(recoveredMs)} after the ledger came back` : "not within 20 s",
        happened: closed !== undefined && since.charged > 0,
      },
    ];
  },
};

async function reached({ fleet, admin }: Stage): Promise<number> {
  const counts = await Promise.all(instancesOf(fleet, "ledger").map((ledger) => admin.status<LedgerStatus>(ledger)));
  return counts.reduce((sum, { requests }) => sum + requests, 0);
}

function isLedger(line: FleetLine): boolean {
  return line.fields.breaker === "ledger";
}

/** The first opening of each instance since a moment. */
function firstOpen(lines: readonly FleetLine[], sinceMs: number): Map<string, FleetLine> {
  const first = new Map<string, FleetLine>();
  for (const line of lines) {
    if (
      isLedger(line) &&
      line.fields.to === "open" &&
      numberField(line, "atMs") >= sinceMs &&
      !first.has(line.instance)
    )
      first.set(line.instance, line);
  }
  return first;
}
