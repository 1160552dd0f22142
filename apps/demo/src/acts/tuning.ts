import { type Act, ms, watchTraffic } from "./stage.ts";

interface Decision {
  id: string;
  knob: string;
  line: Readonly<Record<string, unknown>>;
  confirmedAfterMs: number | undefined;
}

export const tuning: Act = {
  title: "2  The controller reads the telemetry and tunes the running services",
  async play(stage) {
    const { events, terminal } = stage;
    const decisions = (): Decision[] =>
      events.all("decision").map(({ fields }) => {
        const id = String(fields.decisionId);
        const confirmation = events.all("decision confirmed", (line) => line.fields.decisionId === id)[0];
        return {
          id,
          knob: String(fields.knob),
          line: fields,
          confirmedAfterMs: confirmation && Number(confirmation.fields.afterMs),
        };
      });
    const knobs = ["breaker.failureRateThreshold", "pool.size"];
    const told = new Set<string>();
    const tell = (): void => {
      for (const { id, line } of decisions()) {
        if (told.has(id)) continue;
        told.add(id);
        terminal.say(
          `${line.service} -> ${line.target}: ${line.knob} ${line.old} -> ${line.new}  (${line.reason ?? line.law})`,
        );
      }
    };
    const done = events.until(() => {
      tell();
      const confirmed = decisions().filter((decision) => decision.confirmedAfterMs !== undefined);
      return knobs.every((knob) => confirmed.some((decision) => decision.knob === knob)) ? true : undefined;
    }, 40_000);
    await watchTraffic(stage, "waiting for the controller's decisions", 40_000, done);
    return knobs.map((knob) => {
      const ours = decisions().filter((decision) => decision.knob === knob);
      const confirmed = ours.filter((decision) => decision.confirmedAfterMs !== undefined);
      const first = ours[0];
      const steps = ours.map(({ line }) => `${line.old} -> ${line.new}`).join(", ");
      return {
        what: `controller: ${knob}`,
        measured: first
          ? `${first.line.service} -> ${first.line.target}: ${steps}; ${confirmed.length} of ${ours.length} confirmed by the instances, the first after ${ms(confirmed[0]?.confirmedAfterMs ?? Number.NaN)}`
          : "no decision",
        happened: confirmed.length > 0,
        traceId: first && String(first.line.traceId),
      };
    });
  },
};
