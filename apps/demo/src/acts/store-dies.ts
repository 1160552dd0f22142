import { type Act, ms, watchTraffic } from "./stage.ts";

const SHARED = "the breakers' store is back: this instance shares again";

export const storeDies: Act = {
  title: "4  The store dies in mid-traffic, and comes back empty",
  async play(stage) {
    const { fleet, events, terminal, traffic } = stage;
    const store = fleet.privateStore;
    if (!store)
      return [{ what: "store killed", measured: `not tried: ${fleet.storeName} is not this demo's own server` }];
    const from = Date.now();
    await store.kill();
    terminal.say(`${fleet.storeName} killed with SIGKILL`);
    await watchTraffic(stage, "without the store", 3_000);
    const alone = traffic.summary(from);
    terminal.say(`${alone.calls} checkouts without it, ${alone.errors} failed`);
    const revivedAt = await store.revive();
    const expected = fleet.instances.length;
    const back = await events.until(() => {
      const lines = events.all(SHARED, (line) => line.readAtMs >= from);
      const names = new Set(lines.map((line) => line.instance));
      return names.size >= expected
        ? Math.max(0, Math.max(...lines.map((line) => line.readAtMs)) - revivedAt)
        : undefined;
    }, 10_000);
    await watchTraffic(stage, "with the store again", 1_000);
    const seen = traffic.summary(from);
    terminal.say(
      back === undefined
        ? "not every instance shares its state again"
        : `all share their state again ${ms(back)} after its return`,
    );
    return [
      {
        what: "store killed",
        measured: `${seen.calls} checkouts, ${seen.errors} failed; shared again ${back === undefined ? "not within 10 s" : `${ms(back)} after its return`}`,
        happened: seen.errors === 0 && back !== undefined && back <= store.backWithinMs,
      },
    ];
  },
};
