import { BreakerOpenError, CircuitBreaker } from "@holdfast/breaker";
import { TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { attemptsOf, createTarget } from "./index.ts";
import { answer, startHttpServer } from "./testing/http-server.ts";

describe("a target with a circuit breaker", () => {
  it("stops sending when the target fails, and finds its way back when it recovers", async () => {
    const clock = new TestClock();
    let healthy = false;
    await using server = await startHttpServer((_, response) => answer(response, healthy ? 200 : 500));
    const settings = { consecutiveFailures: 5, openMs: 1_000, halfOpenPermits: 1 };
    await using breaker = new CircuitBreaker({
      name: "ledger",
      mode: "enforce",
      clock,
      random: () => 0.5,
      ...settings,
    });
    await using target = createTarget({
      name: "ledger",
      mode: "enforce",
      urls: [server.url],
      breaker,
      clock,
      random: () => 0,
    });
    const post = (): Promise<Response> => target.fetch("/", { method: "POST", body: "x" });
    for (let call = 0; call < 5; call++) expect((await post()).status).toBe(500);
    expect(breaker.state).toBe("open");
    const refused = await post().catch((thrown: unknown) => thrown);
    expect(refused).toBeInstanceOf(BreakerOpenError);
    expect(attemptsOf(refused)).toMatchObject([{ outcome: "rejected" }]);
    expect(server.requests).toHaveLength(5);
    healthy = true;
    clock.advance(10_000);
    for (let call = 0; call < 5 && breaker.state !== "closed"; call++) await post();
    expect(breaker.state).toBe("closed");
    expect((await post()).status).toBe(200);
  });

  it("returns the failure that opened it, rather than the refusal of its retry", async () => {
    const clock = new TestClock();
    await using server = await startHttpServer((_, response) => answer(response, 503));
    await using breaker = new CircuitBreaker({ name: "ledger", mode: "enforce", clock, consecutiveFailures: 2 });
    await using target = createTarget({
      name: "ledger",
      mode: "enforce",
      urls: [server.url],
      breaker,
      random: () => 0,
    });
    const response = await target.fetch("/");
    expect([response.status, await response.text()]).toEqual([503, "status 503"]);
    expect(attemptsOf(response).map(({ outcome }) => outcome)).toEqual(["failure", "failure", "rejected"]);
  });
});
