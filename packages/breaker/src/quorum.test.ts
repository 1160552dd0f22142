import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DomainEvidence, domainsNeeded, fleetTrips } from "./quorum.ts";

const settings = { minimumCalls: 10, failureRateThreshold: 0.5, consecutiveFailures: 5 };
const report = { tripped: true, endsInFailure: true, breadth: 0 };
const healthy = fc.record({
  successes: fc.integer({ min: 1, max: 10_000 }),
  failures: fc.constant(0),
  run: fc.constant(0),
});
const failing = fc.integer({ min: 1, max: 1_000_000 }).map((failures) => ({ successes: 0, failures, run: failures }));

describe("the quorum", () => {
  it("is one of one, two of two, and a fifth but at least two of more", () => {
    expect([0, 1, 2, 3, 10, 11, 50, 101].map(domainsNeeded)).toEqual([1, 1, 2, 2, 2, 3, 10, 21]);
  });

  it("is not met by one bad domain among healthy ones, however loud it is", () => {
    fc.assert(
      fc.property(fc.array(healthy, { minLength: 1, maxLength: 50 }), failing, (others, bad) => {
        expect(fleetTrips([...others, bad], report, settings)).toBe(false);
      }),
    );
  });

  it("is met when every domain fails", () => {
    fc.assert(
      fc.property(fc.array(failing, { minLength: 1, maxLength: 50 }), (domains) => {
        const calls = domains.reduce((sum, { failures }) => sum + failures, 0);
        fc.pre(calls >= settings.minimumCalls);
        expect(fleetTrips(domains, report, settings)).toBe(true);
      }),
    );
  });

  it("remembers that there were others, when the first of them reports", () => {
    const first = { successes: 0, failures: 100, run: 100 };
    expect(fleetTrips([first], { ...report, breadth: 10 }, settings)).toBe(false);
    expect(fleetTrips([first, first], { ...report, breadth: 10 }, settings)).toBe(true);
  });

  it("does not depend on the order of the domains", () => {
    const evidence = fc.record({ successes: fc.nat(20), failures: fc.nat(20), run: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(evidence, { maxLength: 12 }), (domains: DomainEvidence[]) => {
        expect(fleetTrips([...domains].reverse(), report, settings)).toBe(fleetTrips(domains, report, settings));
      }),
    );
  });

  it("leaves out the same one of two domains with as many failures, whichever comes first", () => {
    const fine = { successes: 8, failures: 0, run: 0 };
    const half = { successes: 7, failures: 14, run: 0 };
    const dead = { successes: 0, failures: 14, run: 0 };
    for (const domains of [
      [fine, half, dead],
      [dead, half, fine],
      [half, fine, dead],
    ]) {
      expect(fleetTrips(domains, report, settings)).toBe(false);
    }
  });

  it("asks of a single domain that tripped no more calls than it has, and of a rate nothing less", () => {
    const few = { successes: 2, failures: 4, run: 1 };
    expect(fleetTrips([few], report, settings)).toBe(true);
    expect(fleetTrips([few], { ...report, tripped: false }, settings)).toBe(false);
    expect(fleetTrips([{ ...few, successes: 5 }], report, settings)).toBe(false);
  });
});
