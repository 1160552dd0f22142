import { TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { memoryStore } from "./memory-store.ts";
import { createBreakers } from "./registry.ts";

describe("a registry of breakers", () => {
  it("makes each breaker once, with the common defaults and its own options over them", async () => {
    await using breakers = createBreakers({ mode: "enforce", openMs: 100, identity: { service: "caller" } });
    const ledger = breakers.breaker("ledger", { openMs: 200 });
    expect(breakers.breaker("ledger")).toBe(ledger);
    expect(ledger.snapshot().settings).toMatchObject({ mode: "enforce", openMs: 200 });
    expect(breakers.breaker("payments").snapshot().settings.openMs).toBe(100);
    expect([...breakers].map(({ name }) => name)).toEqual(["ledger", "payments"]);
  });

  it("shares its store among all of them, and leaves it open", async () => {
    const clock = new TestClock();
    const store = memoryStore({ clock });
    const breakers = createBreakers({ store, clock });
    const ledger = breakers.breaker("ledger");
    await clock.advanceAsync(10);
    expect(ledger.sharing).toBe(true);
    await breakers.close();
    expect(ledger.sharing).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it("makes room by letting go of the breaker that was not asked for the longest", async () => {
    await using breakers = createBreakers({ maxBreakers: 2 });
    const first = breakers.breaker("first");
    const second = breakers.breaker("second");
    breakers.breaker("first");
    breakers.breaker("third");
    expect(breakers.size).toBe(2);
    expect(breakers.breaker("first")).toBe(first);
    expect(breakers.breaker("second")).not.toBe(second);
  });

  it("never lets go of one that is not closed: what finds no room is not protected, and counted", async () => {
    await using breakers = createBreakers({ maxBreakers: 1, mode: "enforce", consecutiveFailures: 1 });
    const open = breakers.breaker("open");
    const permit = open.tryAcquire();
    if (permit.admitted) permit.fail();
    const beyond = breakers.breaker("beyond");
    expect(beyond.mode).toBe("off");
    expect(breakers.breaker("too")).toBe(beyond);
    expect([breakers.size, breakers.overflows]).toEqual([1, 2]);
    expect(breakers.breaker("open")).toBe(open);
  });

  it("refuses a wrong option by its name", () => {
    expect(() => createBreakers({ maxBreakers: 0 })).toThrow(
      "maxBreakers must be a whole number from 1 to 100000, not 0",
    );
    expect(() => createBreakers().breaker("ledger", { windowMs: 1 })).toThrow("windowMs must be");
  });
});
