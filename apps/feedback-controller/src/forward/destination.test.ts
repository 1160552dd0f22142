import { silentLogger } from "@holdfast/core";
import { freePort, seededRandom, TestClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Component } from "../component.ts";
import { OtlpDestination } from "../testing/otlp-destination.ts";
import { field, varintField } from "../testing/otlp-writer.ts";
import { Destination, type Parcel } from "./destination.ts";

class Sender {
  readonly clock = new TestClock();
  readonly component = new Component("export");
  readonly destination: Destination;

  constructor(url: string, maxQueueBytes = 1_000_000) {
    const { clock, component } = this;
    this.destination = new Destination({
      url,
      maxQueueBytes,
      component,
      clock,
      random: seededRandom(7),
      logger: silentLogger,
    });
  }

  /** Waits until a back-off has begun, and lets it pass. */
  async passBackOff(): Promise<void> {
    while (this.clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    this.clock.advance(this.clock.nextTimerMs!);
  }
}

function parcel(text: string): Parcel {
  return { path: "/v1/traces", format: "protobuf", encoding: undefined, bytes: Buffer.from(text), items: 1 };
}

describe("a destination", () => {
  it("is sent everything, and a clean stop loses nothing", async () => {
    await using server = await OtlpDestination.start();
    const { destination } = new Sender(server.url);
    for (let i = 0; i < 200; i++) destination.offer(parcel(`span ${i}`));
    await destination.close(10_000);
    expect(server.requests.map(({ body }) => body.toString()).toSorted()).toEqual(
      Array.from({ length: 200 }, (_, i) => `span ${i}`).toSorted(),
    );
    expect(destination.counts).toEqual({ sent: 200, failed: 0, dropped: 0, rejected: 0, unwanted: 0, queuedBytes: 0 });
  });

  it.each([429, 502, 503, 504])(
    "is tried again after %d, as often as it takes, with the same bytes",
    async (statusCode) => {
      await using server = await OtlpDestination.start();
      server.answers.push({ status: statusCode }, { status: statusCode });
      const sender = new Sender(server.url);
      sender.destination.offer(parcel("once"));
      await sender.passBackOff();
      expect(sender.component.status).toBe("recoverable-error");
      await sender.passBackOff();
      await server.received(3);
      await sender.destination.close(1_000);
      expect(server.requests.map(({ body }) => body.toString())).toEqual(["once", "once", "once"]);
      expect(sender.destination.counts.sent).toBe(1);
    },
  );

  it("waits 5 s, then longer, with jitter, and at least as long as Retry-After says", async () => {
    await using server = await OtlpDestination.start();
    server.answers.push({ status: 503 }, { status: 503 }, { status: 503, headers: { "retry-after": "45" } });
    const sender = new Sender(server.url);
    sender.destination.offer(parcel("x"));
    const waits: number[] = [];
    for (let i = 0; i < 3; i++) {
      while (sender.clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
      waits.push(sender.clock.nextTimerMs!);
      sender.clock.advance(sender.clock.nextTimerMs!);
    }
    const within = (ms: number, base: number): boolean => ms >= base * 0.75 && ms <= base * 1.25;
    expect(within(waits[0]!, 5_000)).toBe(true);
    expect(within(waits[1]!, 7_500)).toBe(true);
    expect(waits[2]!).toBeGreaterThanOrEqual(45_000);
    await sender.destination.close(1_000);
  });

  it("is not sent again what it refused for good", async () => {
    await using server = await OtlpDestination.start();
    server.answers.push({ status: 400 });
    const { destination } = new Sender(server.url);
    destination.offer(parcel("bad"));
    destination.offer(parcel("good"));
    await destination.close(5_000);
    expect(server.requests.length).toBe(2);
    expect(destination.counts).toMatchObject({ sent: 1, failed: 1 });
  });

  it("is spared a kind of telemetry that it does not take, and asked again after a while", async () => {
    await using server = await OtlpDestination.start();
    server.answers.push({ status: 404 });
    const { clock, destination } = new Sender(server.url);
    const points: Parcel = { ...parcel("points"), path: "/v1/metrics" };
    destination.offer(points);
    while (destination.counts.unwanted === 0) await new Promise((resolve) => setImmediate(resolve));
    destination.offer(points);
    destination.offer(parcel("span"));
    clock.advance(300_000);
    destination.offer(points);
    await destination.close(5_000);
    expect(server.requests.map(({ path }) => path)).toEqual(["/v1/metrics", "/v1/traces", "/v1/metrics"]);
    expect(destination.counts).toMatchObject({ sent: 2, unwanted: 2, failed: 0 });
  });

  it("may take a part: that is counted, and not sent again", async () => {
    await using server = await OtlpDestination.start();
    server.answers.push({ status: 200, body: field(1, varintField(1, 3), field(2, "too old")) });
    const { destination } = new Sender(server.url);
    destination.offer(parcel("x"));
    await destination.close(5_000);
    expect(destination.counts).toMatchObject({ sent: 1, rejected: 3 });
  });

  it("that is away fills its queue, and no more than that", async () => {
    const sender = new Sender(`http://127.0.0.1:${await freePort()}`, 100);
    for (let i = 0; i < 30; i++) sender.destination.offer(parcel("0123456789"));
    expect(sender.destination.counts).toMatchObject({ dropped: 20, queuedBytes: 100 });
    expect(sender.component.status).toBe("recoverable-error");
    const closing = sender.destination.close(1_000);
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      sender.clock.advance(100);
    }
    await closing;
    expect(sender.destination.counts).toMatchObject({ sent: 0, failed: 10, dropped: 20, queuedBytes: 0 });
  });

  it("that comes back during the shutdown still gets what waited for it", async () => {
    const port = await freePort();
    const sender = new Sender(`http://127.0.0.1:${port}`);
    sender.destination.offer(parcel("late"));
    while (sender.clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    await using server = await OtlpDestination.start(port);
    await sender.destination.close(10_000);
    expect(server.requests.map(({ body }) => body.toString())).toEqual(["late"]);
    expect(sender.destination.counts).toMatchObject({ sent: 1, failed: 0 });
  });
});
