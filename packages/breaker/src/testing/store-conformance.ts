import { seededRandom } from "@holdfast/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ClusterRecord, syncRecord } from "../cluster-state.ts";
import type { BreakerStore, FleetView, SyncReply, SyncRequest } from "../store.ts";
import { request, Speaker, testSettings } from "./requests.ts";

/** What the suite needs of a store under test. */
export interface StoreHarness {
  /** A connection of its own to the same data, within reach. The harness closes it. */
  connect(): Promise<BreakerStore>;
  /** Sets the store's clock, in milliseconds since the epoch. */
  setClock(nowMs: number): Promise<void>;
  /** Loses everything, as FLUSHALL does. */
  lose(): Promise<void>;
  /** Gives a breaker's record the schema number of a version to come. */
  makeForeign(id: string): Promise<void>;
  close(): Promise<void>;
}

const START_MS = Date.UTC(2026, 0, 1);

/** What every store does alike. */
export function storeConformance(name: string, makeHarness: () => Promise<StoreHarness>): void {
  describe(`${name} store`, () => {
    let harness: StoreHarness;
    let one: BreakerStore;
    let two: BreakerStore;
    let nowMs = START_MS;
    let cases = 0;
    let id = "";

    beforeAll(async () => {
      harness = await makeHarness();
      await harness.setClock(nowMs);
      one = await harness.connect();
      two = await harness.connect();
    });

    afterAll(async () => {
      await harness.close();
    });

    beforeEach(() => {
      id = `test/caller/target-${++cases}`;
    });

    const pass = async (ms: number): Promise<void> => {
      nowMs += ms;
      await harness.setClock(nowMs);
    };

    const speaker = (domain: number, instance = domain, store: BreakerStore = one): Speaker =>
      new Speaker(store, { id, domain: `host-${domain}`, instance: `instance-${instance}` });

    /** Makes the record, and lets pass the time in which a new one does not trip. */
    const settled = async (): Promise<void> => {
      await speaker(1).say();
      await pass(500);
    };

    /** A fleet of one host whose breaker has just opened. */
    const opened = async (): Promise<Speaker> => {
      const alone = speaker(1);
      await settled();
      await alone.say();
      const { view } = await alone.say({ failures: 10 });
      expect(view.state).toBe("open");
      return alone;
    };

    const halfOpen = async (wanted = 1): Promise<{ holder: Speaker; leases: readonly string[] }> => {
      const holder = await opened();
      await pass(1_000);
      const { view, leases } = await holder.say({ wanted });
      expect(view.state).toBe("half-open");
      return { holder, leases };
    };

    describe("the record", () => {
      it("begins closed, in its first generation, under the first asker's nonce", async () => {
        const { view } = await speaker(1).say({ nonce: "first" });
        expect(view).toMatchObject({ schema: 1, incarnation: "first", generation: 1, state: "closed", opens: 0 });
        expect(view.sinceMs).toBe(nowMs);
      });

      it("is the same for every connection", async () => {
        const first = await speaker(1, 1, one).say();
        const second = await speaker(2, 2, two).say();
        expect(second.view).toEqual(first.view);
      });

      it("answers requests for several breakers in their order", async () => {
        const replies = await one.sync([
          request({ id: `${id}-a`, nonce: "a" }),
          request({ id: `${id}-b`, nonce: "b" }),
          request({ id: `${id}-a`, nonce: "c" }),
        ]);
        expect(replies.map((reply) => reply.view.incarnation)).toEqual(["a", "b", "a"]);
      });

      it("is left alone when a newer version wrote it", async () => {
        await speaker(1).say();
        await harness.makeForeign(id);
        const { view, leases } = await speaker(1).say({ failures: 100, tripped: true, wanted: 3 });
        expect(view.schema).toBeGreaterThan(1);
        expect(leases).toEqual([]);
      });

      it("takes any name that a domain may have", async () => {
        for (const domain of ["__proto__", "constructor", "a b|c:d 1:2:3", 'quo"te\\', "ünï"]) {
          const odd = new Speaker(one, { id, domain, instance: domain });
          await odd.say();
          expect((await odd.say({ successes: 1 })).view.state).toBe("closed");
        }
        expect((await speaker(1).say()).view.generation).toBe(1);
      });
    });

    describe("a trip", () => {
      beforeEach(settled);

      it("does not come in the first half second of a record, in which the fleet may not have reported", async () => {
        id = `${id}-new`;
        const alone = speaker(1);
        expect((await alone.say({ failures: 10 })).view.state).toBe("closed");
        await pass(500);
        expect((await alone.say({ tripped: true })).view.state).toBe("open");
      });

      it("remembers for a window after a close how many domains there are", async () => {
        for (let domain = 1; domain <= 5; domain++) await speaker(domain).say({ failures: 2 });
        await pass(1_000);
        const { leases } = await speaker(1).say({ wanted: 1 });
        const more = await speaker(2).say({ wanted: 1 });
        await speaker(1).say({ trials: [...leases, ...more.leases].map((token) => ({ token, outcome: "success" })) });
        const bad = speaker(1);
        expect((await bad.say()).view.state).toBe("closed");
        expect((await bad.say({ failures: 100, tripped: true })).view.state).toBe("closed");
        await pass(10_000);
        expect((await bad.say({ failures: 100, tripped: true })).view.state).toBe("open");
      });

      it("of a fleet with one active domain is that domain's own", async () => {
        const alone = speaker(1);
        await alone.say();
        expect((await alone.say({ successes: 5, failures: 4 })).view.state).toBe("closed");
        const { view } = await alone.say({ failures: 1 });
        expect(view).toMatchObject({ state: "open", generation: 2, opens: 1, by: "instance-1", remainingMs: 1_000 });
        expect(view.decidedAtMs).toBe(nowMs);
      });

      it("needs both of two domains", async () => {
        const [bad, other] = [speaker(1), speaker(2)];
        await other.say({ successes: 10 });
        expect((await bad.say({ failures: 50, tripped: true })).view.state).toBe("closed");
        expect((await other.say({ failures: 10, tripped: true })).view.state).toBe("open");
      });

      it("does not come from one bad domain of ten, however many processes and calls it has", async () => {
        for (let domain = 2; domain <= 10; domain++) await speaker(domain).say({ successes: 20, failures: 1, tail: 1 });
        for (let round = 0; round < 5; round++) {
          for (let process = 1; process <= 4; process++) {
            const { view } = await speaker(1, process).say({ failures: 1_000, tripped: true });
            expect(view.state).toBe("closed");
          }
        }
      });

      it("does not come from one bad domain and an unlucky one beside it", async () => {
        for (let domain = 3; domain <= 10; domain++) await speaker(domain).say({ successes: 100 });
        await speaker(2).say({ failures: 1 });
        expect((await speaker(1).say({ failures: 10_000, tripped: true })).view.state).toBe("closed");
      });

      it("comes when all domains fail, long before any of them has enough calls of its own", async () => {
        const states: string[] = [];
        for (let domain = 1; domain <= 10; domain++)
          states.push((await speaker(domain).say({ failures: 1 })).view.state);
        expect(states.indexOf("open")).toBe(9);
      });

      it("comes from failures in a row once more domains fail than succeed", async () => {
        const settings = { ...testSettings, consecutiveFailures: 5 };
        for (let domain = 1; domain <= 5; domain++) await speaker(domain).say({ settings, successes: 1_000 });
        const fail = async (domain: number) => (await speaker(domain).say({ settings, failures: 3 })).view.state;
        expect([await fail(1), await fail(2), await fail(3)]).toEqual(["closed", "closed", "open"]);
      });

      it("forgets a run of failures at a success of the same domain", async () => {
        const settings = { ...testSettings, consecutiveFailures: 5, minimumCalls: 1_000 };
        const alone = speaker(1);
        await alone.say({ settings, failures: 4 });
        await alone.say({ settings, successes: 1, failures: 3, tail: 2 });
        expect((await alone.say({ settings, failures: 2 })).view.state).toBe("closed");
        expect((await alone.say({ settings, failures: 1 })).view.state).toBe("open");
      });

      it("does not come from failures that have left the window", async () => {
        const alone = speaker(1);
        await alone.say({ failures: 9 });
        await pass(10_000);
        expect((await alone.say({ failures: 9 })).view.state).toBe("closed");
        await pass(5_000);
        expect((await alone.say({ failures: 1 })).view.state).toBe("open");
      });

      it("does not come from counts of a generation that is over", async () => {
        const holder = await opened();
        const late = speaker(1, 2);
        late.view = { ...holder.view!, generation: 1 };
        await pass(1_000);
        const { leases } = await holder.say({ wanted: 2 });
        await holder.say({ trials: leases.map((token) => ({ token, outcome: "success" as const })) });
        expect(holder.view!.state).toBe("closed");
        const { view } = await late.say({
          incarnation: holder.view!.incarnation,
          generation: 1,
          failures: 100,
          tripped: true,
        });
        expect(view).toMatchObject({ state: "closed", generation: holder.view!.generation });
      });

      it("is told to everybody who watches", async () => {
        const heard = new Promise<FleetView>((resolve) => two.watch(id, resolve));
        await speaker(1, 1, two).say();
        const { view } = await speaker(1).say({ failures: 10 });
        expect(await heard).toMatchObject({
          incarnation: view.incarnation,
          generation: 2,
          state: "open",
          by: "instance-1",
        });
      });
    });

    describe("half-open", () => {
      it("begins when the time is up and somebody asks for a trial, not before", async () => {
        const holder = await opened();
        await pass(999);
        expect((await holder.say({ wanted: 1 })).view).toMatchObject({ state: "open", remainingMs: 1 });
        await pass(1);
        expect((await holder.say()).view).toMatchObject({ state: "open", remainingMs: 0 });
        const { view, leases } = await holder.say({ wanted: 1 });
        expect(view).toMatchObject({ state: "half-open", generation: 3 });
        expect(leases).toHaveLength(1);
      });

      it("grants no more leases than a round has permits, over all instances", async () => {
        const { leases } = await halfOpen(2);
        const others = await Promise.all([2, 3, 4].map((instance) => speaker(1, instance, two).say({ wanted: 3 })));
        const all = [...leases, ...others.flatMap((reply) => reply.leases)];
        expect(all).toHaveLength(3);
        expect(new Set(all).size).toBe(3);
      });

      it("spreads a round over the domains that were active, at first", async () => {
        await settled();
        for (let domain = 1; domain <= 3; domain++) await speaker(domain).say({ failures: 4 });
        await pass(1_000);
        expect((await speaker(1).say({ wanted: 3 })).leases).toHaveLength(1);
        expect((await speaker(1, 9).say({ wanted: 3 })).leases).toHaveLength(0);
        expect((await speaker(2).say({ wanted: 3 })).leases).toHaveLength(1);
        // The lease of host 1 has run out by now, and nobody else came: host 1 may have what is left.
        await pass(2_000);
        expect((await speaker(1).say({ wanted: 3 })).leases).toHaveLength(3);
      });

      it("closes once enough trials have succeeded", async () => {
        const { holder, leases } = await halfOpen(3);
        const first = await holder.say({ trials: [{ token: leases[0]!, outcome: "success" }] });
        expect(first.view.state).toBe("half-open");
        const second = await holder.say({ trials: [{ token: leases[1]!, outcome: "success" }] });
        expect(second.view).toMatchObject({ state: "closed", opens: 0 });
      });

      it("re-opens for longer once too many trials have failed, up to the ceiling", async () => {
        const holder = await opened();
        for (const expectedMs of [2_000, 4_000, 8_000, 8_000]) {
          await pass(holder.view!.remainingMs);
          const { leases } = await holder.say({ wanted: 2 });
          await holder.say({ trials: [{ token: leases[0]!, outcome: "success" }] });
          await holder.say({ trials: [{ token: leases[1]!, outcome: "failure" }] });
          const more = await holder.say({ wanted: 1 });
          await holder.say({ trials: [{ token: more.leases[0]!, outcome: "failure" }] });
          expect(holder.view).toMatchObject({ state: "open", remainingMs: expectedMs });
        }
      });

      it("shortens an open by no more than a fifth by chance", async () => {
        const alone = speaker(1);
        await settled();
        await alone.say();
        expect((await alone.say({ failures: 10, draw: 0.5 })).view.remainingMs).toBeCloseTo(900, 3);
      });

      it("counts a trial's result once", async () => {
        const { holder, leases } = await halfOpen(3);
        const result = { token: leases[0]!, outcome: "success" as const };
        await holder.say({ trials: [result, result] });
        expect((await holder.say({ trials: [result] })).view.state).toBe("half-open");
      });

      it("gives an ignored trial's place to the next", async () => {
        const { holder, leases } = await halfOpen(3);
        const { leases: more } = await holder.say({ trials: [{ token: leases[0]!, outcome: "ignored" }], wanted: 3 });
        expect(more).toHaveLength(1);
        expect(leases).not.toContain(more[0]);
      });

      it("gives an expired trial's place to the next, and fences its result", async () => {
        const { holder, leases } = await halfOpen(3);
        await pass(2_000);
        const other = speaker(1, 2);
        const { leases: fresh } = await other.say({ wanted: 3 });
        expect(fresh).toHaveLength(3);
        const late = await holder.say({ trials: leases.map((token) => ({ token, outcome: "failure" as const })) });
        expect(late.view.state).toBe("half-open");
      });

      it("fences the result of a round that is over", async () => {
        const { holder, leases } = await halfOpen(3);
        const [kept, ...lost] = leases.map((token) => ({ token, outcome: "failure" as const }));
        await holder.say({ trials: lost });
        expect(holder.view!.state).toBe("open");
        await pass(2_000);
        const { view } = await holder.say({ wanted: 1, trials: [{ ...kept!, outcome: "success" }] });
        expect(view.state).toBe("half-open");
        await holder.say({ trials: [{ ...kept!, outcome: "success" }] });
        expect(holder.view!.state).toBe("half-open");
      });

      it("keeps an unused lease that is renewed", async () => {
        const { holder, leases } = await halfOpen(1);
        await pass(1_500);
        expect((await holder.say({ renew: leases })).leases).toEqual(leases);
        await pass(1_500);
        await holder.say({ trials: [{ token: leases[0]!, outcome: "success" }] });
        const { view } = await holder.say({ wanted: 1 });
        expect(view.state).toBe("half-open");
        expect((await holder.say({ trials: [{ token: leases[0]!, outcome: "success" }] })).view.state).toBe(
          "half-open",
        );
      });

      it("does not renew while somebody else waits", async () => {
        const { holder, leases } = await halfOpen(3);
        expect((await speaker(1, 2).say({ wanted: 1 })).leases).toEqual([]);
        expect((await holder.say({ renew: leases })).leases).toEqual([]);
        await pass(2_000);
        expect((await speaker(1, 2).say({ wanted: 1 })).leases).toHaveLength(1);
      });
    });

    describe("a store that loses what it knew", () => {
      it("is told by who holds an unexpired open", async () => {
        const holder = await opened();
        await pass(400);
        const { sinceMs, opens } = holder.view!;
        await harness.lose();
        const { view } = await holder.say({ held: { sinceMs, opens, remainingMs: 600 } });
        expect(view).toMatchObject({ state: "open", remainingMs: 600, opens: 1, sinceMs });
        const other = await speaker(2).say();
        expect(other.view.state).toBe("open");
      });

      it("is told also when somebody else made the record anew before", async () => {
        const holder = await opened();
        const { sinceMs, opens } = holder.view!;
        await harness.lose();
        expect((await speaker(2).say()).view.state).toBe("closed");
        expect((await holder.say({ held: { sinceMs, opens, remainingMs: 500 } })).view.state).toBe("open");
      });

      it("believes no open from before once it has moved by itself", async () => {
        const holder = await opened();
        const stale = { ...holder.view! };
        await harness.lose();
        const other = await opened();
        await pass(1_000);
        const { leases } = await other.say({ wanted: 2 });
        await other.say({ trials: leases.map((token) => ({ token, outcome: "success" as const })) });
        holder.view = stale;
        const { view } = await holder.say({ held: { sinceMs: stale.sinceMs, opens: 1, remainingMs: 500 } });
        expect(view.state).toBe("closed");
      });

      it("is told by who knows a later generation, when it was rolled back", async () => {
        const holder = speaker(1);
        await holder.say();
        holder.view = { ...holder.view!, generation: 6 };
        const { view } = await holder.say({ held: { sinceMs: nowMs, opens: 2, remainingMs: 700 } });
        expect(view).toMatchObject({ state: "open", generation: 7, opens: 2, remainingMs: 700 });
      });

      it("ignores a held open that is its own", async () => {
        const holder = await opened();
        const { generation } = holder.view!;
        const { view } = await holder.say({ held: { sinceMs: 0, opens: 9, remainingMs: 8_000 } });
        expect(view).toMatchObject({ generation, opens: 1, remainingMs: 1_000 });
      });
    });

    it("treats an open further away than it can be as over: its clock was set back", async () => {
      const holder = await opened();
      await pass(-3_600_000);
      const { view } = await holder.say({ wanted: 1 });
      expect(view.state).toBe("half-open");
      nowMs += 3_600_000;
      await harness.setClock(nowMs);
    });

    it("decides like the reference model, whatever happens in whatever order", async () => {
      let histories = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (events) => {
          id = `test/history-${name}/${++histories}`;
          const speakers = new Map<
            number,
            { view: FleetView | undefined; leases: string[]; asked: SyncReply | null }
          >();
          let model: ClusterRecord | null = null;
          for (const [step, { instance, domain, ms, ...what }] of events.entries()) {
            await pass(ms);
            const self = speakers.get(instance) ?? { view: undefined, leases: [], asked: null };
            speakers.set(instance, self);
            const asked: SyncRequest = request({
              id,
              domain: `host-${domain}`,
              instance: `instance-${instance}`,
              settings: { ...testSettings, consecutiveFailures: 4, minimumCalls: 6 },
              incarnation: self.view?.incarnation ?? "",
              generation: self.view?.generation ?? 0,
              successes: what.successes,
              failures: what.failures,
              tail: Math.min(what.failures, what.successes > 0 ? what.tail : what.failures),
              tripped: what.tripped,
              wanted: what.wanted,
              renew: what.renew ? self.leases : [],
              trials: self.leases.slice(0, what.settled).map((token) => ({ token, outcome: what.outcome })),
              held: what.held ? { sinceMs: nowMs - 10, opens: 2, remainingMs: 300 } : null,
              nonce: `nonce-${histories}-${step}`,
              draw: what.draw,
            });
            const expected = syncRecord(structuredClone(model), asked, nowMs);
            model = expected.record;
            const [reply] = await (instance % 2 ? one : two).sync([asked]);
            expect(reply!.leases).toEqual(expected.reply.leases);
            expect(rounded(reply!.view)).toEqual(rounded(expected.reply.view));
            // Some replies are lost: the instance goes on with what it knew.
            if (what.lost) continue;
            if (self.view?.generation !== reply!.view.generation) self.leases = [];
            self.leases = [...new Set([...self.leases, ...reply!.leases])].slice(what.settled);
            self.view = reply!.view;
          }
        }),
        { numRuns: 150, seed: Math.floor(seededRandom(4)() * 2 ** 31) },
      );
    });
  });
}

const event = fc.record({
  instance: fc.integer({ min: 1, max: 4 }),
  domain: fc.integer({ min: 1, max: 3 }),
  ms: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 300, max: 4_000 })),
  successes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 5 })),
  failures: fc.integer({ min: 0, max: 6 }),
  tail: fc.integer({ min: 0, max: 3 }),
  tripped: fc.boolean(),
  wanted: fc.integer({ min: 0, max: 3 }),
  renew: fc.boolean(),
  settled: fc.integer({ min: 0, max: 2 }),
  outcome: fc.constantFrom("success" as const, "failure" as const, "failure" as const, "ignored" as const),
  held: fc.boolean(),
  lost: fc.boolean(),
  draw: fc.constantFrom(0, 0.25, 0.5),
});

/** Stores write times with a thousandth of a millisecond. */
function rounded(view: FleetView): FleetView {
  return { ...view, remainingMs: Math.round(view.remainingMs * 100) / 100 };
}
