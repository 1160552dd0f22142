import { type Act, ms, watchTraffic } from "./stage.ts";

export const healthy: Act = {
  title: "1  Healthy: customers check out",
  async play(stage) {
    const from = Date.now();
    await watchTraffic(stage, "healthy", 5_000);
    const seen = stage.traffic.summary(from);
    stage.terminal.say(
      `${seen.calls} checkouts, ${seen.errors} failed; half within ${ms(seen.p50Ms)}, 99 % within ${ms(seen.p99Ms)}`,
    );
    return [
      {
        what: "healthy traffic",
        measured: `${seen.calls} checkouts, ${seen.errors} failed, p50 ${ms(seen.p50Ms)}, p99 ${ms(seen.p99Ms)}`,
        happened: seen.charged > 0 && seen.errors === 0,
      },
    ];
  },
};
