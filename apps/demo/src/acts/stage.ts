import { setTimeout as delay } from "node:timers/promises";
import type { Admin } from "../admin.ts";
import type { Events } from "../events.ts";
import type { Fleet, Instance, Role } from "../fleet.ts";
import type { Finding } from "../report.ts";
import type { Terminal } from "../terminal.ts";
import type { Traffic } from "../traffic.ts";

/** What an act plays with. */
export interface Stage {
  fleet: Fleet;
  events: Events;
  admin: Admin;
  traffic: Traffic;
  terminal: Terminal;
}

/** Part of the story: does something to the fleet and says what it measured. */
export interface Act {
  title: string;
  play(stage: Stage): Promise<Finding[]>;
}

export function instancesOf(fleet: Fleet, role: Role): Instance[] {
  return fleet.instances.filter((instance) => instance.role === role);
}

/** Lets traffic run for a while, or until something is over, showing what it sees. */
export async function watchTraffic(
  stage: Stage,
  what: string,
  durationMs: number,
  until: Promise<unknown> = new Promise(() => {}),
): Promise<void> {
  const from = Date.now();
  const over = until.then(
    () => true,
    () => true,
  );
  while (Date.now() - from < durationMs) {
    if (await Promise.race([over, delay(Math.min(500, durationMs), false)])) return;
    const { calls, charged, deferred, errors } = stage.traffic.summary(from);
    stage.terminal.progress(`${what}: ${calls} checkouts, ${charged} charged, ${deferred} deferred, ${errors} failed`);
  }
}

export function ms(value: number): string {
  return Number.isNaN(value) ? "not measured" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
