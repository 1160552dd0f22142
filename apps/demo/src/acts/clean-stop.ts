import { type Act, ms } from "./stage.ts";

interface SpanCounts {
  ended: number;
  exported: number;
  failed: number;
  dropped: number;
}

export const cleanStop: Act = {
  title: "6  SIGTERM to everyone, in the middle of traffic that winds down",
  async play({ fleet, events, traffic, terminal }) {
    await traffic.stop();
    const from = Date.now();
    const codes = await fleet.stopServices();
    const took = Date.now() - from;
    const closed = events.all("telemetry closed", (line) => line.readAtMs >= from);
    const sum: SpanCounts = { ended: 0, exported: 0, failed: 0, dropped: 0 };
    for (const { fields } of closed) {
      const spans = fields.spans as SpanCounts;
      for (const key of ["ended", "exported", "failed", "dropped"] as const) sum[key] += spans[key];
    }
    const clean = Object.values(codes).filter((code) => code === 0 || code === 143).length;
    const all = Object.keys(codes).length;
    terminal.say(
      `${clean} of ${all} processes ended cleanly within ${ms(took)}; ${sum.ended} spans ended, ${sum.exported} exported`,
    );
    return [
      { what: "clean stop", measured: `${clean} of ${all} processes, ${ms(took)}`, happened: clean === all },
      {
        what: "no span lost",
        measured: `${closed.length} processes since their last start: ${sum.ended} spans ended, ${sum.exported} exported, ${sum.failed} failed, ${sum.dropped} dropped`,
        happened: closed.length >= fleet.instances.length && sum.ended === sum.exported,
      },
    ];
  },
};
