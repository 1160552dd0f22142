import { cleanStop } from "./acts/clean-stop.ts";
import { crash } from "./acts/crash.ts";
import { healthy } from "./acts/healthy.ts";
import { outage } from "./acts/outage.ts";
import type { Act, Stage } from "./acts/stage.ts";
import { storeDies } from "./acts/store-dies.ts";
import { tuning } from "./acts/tuning.ts";
import type { Finding } from "./report.ts";

const acts: readonly Act[] = [healthy, tuning, outage, storeDies, crash, cleanStop];

/**
 * Plays every act. One that throws becomes a finding that did not happen, and the next one is played: what went wrong is
 * told at the end beside what went right.
 */
export async function tellStory(stage: Stage): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const act of acts) {
    stage.terminal.heading(act.title);
    try {
      findings.push(...(await act.play(stage)));
    } catch (error) {
      findings.push({ what: act.title.replace(/^\d+\s+/, ""), measured: (error as Error).message, happened: false });
    }
  }
  return findings;
}
