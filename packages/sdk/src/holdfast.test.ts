import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BreakerOpenError } from "@holdfast/breaker";
import { type Clock, jsonLogger, silentLogger, systemClock } from "@holdfast/core";
import { type Override, type OverrideStore, parsePolicy } from "@holdfast/policy";
import { redisOverrideStore } from "@holdfast/policy/redis";
import { type PrivateRedis, startRedis, ThrowawayAuthority } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type OtlpReceiver, startOtlpReceiver } from "../../telemetry/src/testing/otlp-receiver.ts";
import { type Holdfast, type HoldfastOptions, holdfast, type ResizablePool } from "./index.ts";

const policy = parsePolicy(`
apiVersion: holdfast.dev/v1alpha1
kind: Policy
namespace: test
targets:
  ledger:
    url: http://127.0.0.1:2
    mode: enforce
    deadline: 2s
    retry: { maxAttempts: 1 }
    breaker: { minimumCalls: 2, consecutiveFailures: 2, openFor: 60s, maxOpenFor: 60s }
    pool: { size: 4 }
    tuning:
      mode: apply
      bounds:
        pool.size: { min: 2, max: 20, maxStep: 4 }
        breaker.failureRateThreshold: { min: 20%, max: 80%, maxStep: 10% }
`);

let collector: OtlpReceiver;

beforeAll(async () => {
  collector = await startOtlpReceiver();
});

afterAll(() => collector.close());

const open: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function start(options: HoldfastOptions = {}): Promise<Holdfast> {
  const hf = await holdfast({
    service: "shop",
    policy,
    logger: silentLogger,
    probe: false,
    stateDir: false,
    signals: false,
    otlp: collector.url,
    env: {},
    ...options,
  });
  open.push(hf);
  return hf;
}

function keep<T extends { close(): Promise<unknown> }>(resource: T): T {
  open.push(resource);
  return resource;
}

const redisServer = async (): Promise<PrivateRedis> => keep(await startRedis());
const receiverServer = async (): Promise<OtlpReceiver> => keep(await startOtlpReceiver());

function override(version: number, values: Override["values"]): Override {
  return {
    epoch: 1,
    version,
    values,
    expiresAtMs: Date.now() + 60_000,
    author: "test",
    reason: "to see it applied",
    decisionId: `d-${version}`,
  };
}

/** A pool of numbers. */
function makePool(size: number): ResizablePool & { resized: Promise<number> } {
  let max = size;
  let tell: (size: number) => void;
  const resized = new Promise<number>((resolve) => {
    tell = resolve;
  });
  return {
    size: () => max,
    resize: (to) => {
      max = to;
      tell(to);
    },
    inUse: () => 1,
    pending: () => 2,
    resized,
  };
}

describe("holdfast()", () => {
  it("gives a target the policy's urls, mode and breaker", async () => {
    const hf = await start();
    const ledger = hf.target("ledger");
    expect(hf.target("ledger")).toBe(ledger);
    for (let call = 0; call < 2; call++) await expect(ledger.fetch("/x")).rejects.toThrow("ECONNREFUSED");
    expect(hf.breaker("ledger").state).toBe("open");
    await expect(ledger.fetch("/x")).rejects.toBeInstanceOf(BreakerOpenError);
  });

  it("prefers the code's place and the option's mode", async () => {
    const upstream = createServer((_request, response) => response.end("here")).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const hf = await start({ mode: "observe" });
    const ledger = hf.target("ledger", { url });
    expect(await (await ledger.fetch("/")).text()).toBe("here");
    expect(ledger.mode).toBe("observe");
    expect(hf.target("ledger")).toBe(ledger);
    expect(() => hf.target("ledger", { url: "http://elsewhere:1" })).toThrow(/"ledger" is at .* already/);
    expect(() => hf.target("both", { url, urls: [url] })).toThrow(/url or urls, not both/);
    upstream.closeAllConnections();
    upstream.close();
  });

  it("says in one line what is missing and what that costs", async () => {
    const lines: Record<string, unknown>[] = [];
    const logger = jsonLogger({ write: (line) => lines.push(JSON.parse(line)) });
    await start({ logger, policy: undefined, otlp: null });
    const [line, ...more] = lines.filter(({ missing }) => missing);
    expect(more).toEqual([]);
    expect(Object.keys(line!.missing as object)).toEqual(["policy", "store", "otlp"]);
  });

  it("shares breakers through Redis with the other instances of the service", async () => {
    const redis = await redisServer();
    const one = await start({ redis: redis.url, instance: "one", domain: "one" });
    const two = await start({ redis: redis.url, instance: "two", domain: "two" });
    // Two domains: the fleet's trip needs both.
    const opened = new Promise((resolve) => two.breaker("ledger").onTransition((transition) => resolve(transition)));
    await Promise.all([one, two].map((hf) => sharing(hf)));
    for (const hf of [one, two])
      for (let call = 0; call < 2; call++)
        await hf
          .target("ledger")
          .fetch("/x")
          .catch(() => {});
    await opened;
    expect(two.breaker("ledger").state).toBe("open");
  });

  it("lets a pool follow overrides live, and echoes what it runs", async () => {
    const redis = await redisServer();
    const receiver = await receiverServer();
    const store: OverrideStore = keep(redisOverrideStore({ redis: redis.url }));
    const hf = await start({ redis: redis.url, otlp: receiver.url, metricExportIntervalMs: 100 });
    const pool = makePool(4);
    const tuned = hf.tunePool("ledger", pool);
    const connection = {};
    expect(await tuned.measure(async () => connection)).toBe(connection);
    tuned.released(connection);
    tuned.released(connection);

    const id = { namespace: "test", service: "shop", target: "ledger" };
    await untilWritten(store, id, override(1, { "pool.size": 8, "breaker.failureRateThreshold": 0.7 }));
    expect(await pool.resized).toBe(8);
    expect(hf.breaker("ledger").snapshot().settings.failureRateThreshold).toBe(0.7);

    const point = (name: string, attributes: object) =>
      receiver.metrics
        .filter((metric) => metric.name === name)
        .flatMap(({ points }) => points)
        .findLast((each) => Object.entries(attributes).every(([key, value]) => each.attributes[key] === value));
    const target = { "holdfast.target": "ledger" };
    await receiver.until(() => point("holdfast.pool.size", target)?.value === 8);
    expect(point("holdfast.policy.value", { ...target, knob: "pool.size" })?.value).toBe(8);
    const echo = { ...target, "holdfast.policy.layer": "controller", "holdfast.policy.epoch": 1 };
    expect(point("holdfast.policy.version", echo)?.value).toBe(1);
    expect(point("holdfast.pool.in_use", target)?.value).toBe(1);
    expect(point("holdfast.pool.pending", target)?.value).toBe(2);
    expect(point("holdfast.pool.wait.duration", target)).toMatchObject({ count: 1n, boundaries: 14 });
    expect(point("holdfast.pool.use.duration", target)).toMatchObject({ count: 1n });
  });

  it("resizes a pool to what the document says, and leaves one alone that it does not name", async () => {
    const hf = await start();
    const named = makePool(10);
    hf.tunePool("ledger", named);
    expect(named.size()).toBe(4);
    const unnamed = makePool(10);
    hf.tunePool("reports", unnamed);
    expect(unnamed.size()).toBe(10);
    expect(() => hf.tunePool("reports", unnamed)).toThrow(/"reports" has a pool already/);
  });

  it("takes back what it started when a later part fails", async () => {
    const before = await start();
    await before.close();
    await expect(start({ mtls: "/nowhere", sqlite: null, redis: null, clock: impatient })).rejects.toMatchObject({
      code: "SVID_UNAVAILABLE",
    });
    await expect(start({ sqlite: "/dev/null/x.db" })).rejects.toThrow();
    // Neither telemetry nor anything else of the failed ones is in the way.
    const lines: Record<string, unknown>[] = [];
    await start({ logger: jsonLogger({ write: (line) => lines.push(JSON.parse(line)) }) });
    expect(lines.filter(({ level }) => level !== "info")).toEqual([]);
  });

  it("uses a file where no Redis is named", async () => {
    const hf = await start({ sqlite: ":memory:" });
    expect(hf.breaker("ledger").scope).toBe("cluster");
  });

  it("opens this process's identity from a folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-identity-"));
    const authority = await ThrowawayAuthority.create({ trustDomain: "test.local" });
    await authority.writeSvid(folder, "spiffe://test.local/shop");
    const hf = await start({ mtls: folder });
    expect(hf.identity?.svid.id.uri).toBe("spiffe://test.local/shop");
    await hf.close();
    rmSync(folder, { recursive: true });
    expect((await start()).identity).toBeNull();
  });

  it("closes more than once, and hands back everything that it opened", async () => {
    const redis = await redisServer();
    const hf = await start({ redis: redis.url });
    await hf
      .target("ledger")
      .fetch("/x")
      .catch(() => {});
    await Promise.all([hf.close(), hf.close()]);
    await expect(hf.target("ledger").fetch("/x")).rejects.toMatchObject({ code: "TARGET_CLOSED" });
    expect(hf.lifecycle.state).toBe("stopped");
  });
});

/** A clock on which every wait is over at once. */
const impatient: Clock = { ...systemClock, after: (_delayMs, run) => systemClock.after(0, run) };

async function sharing(hf: Holdfast): Promise<void> {
  while (!hf.breaker("ledger").sharing) await new Promise((resolve) => setImmediate(resolve));
}

/** The store connects in the background; a write before that fails at once. */
async function untilWritten(store: OverrideStore, id: Parameters<OverrideStore["write"]>[1], value: Override) {
  for (;;) {
    try {
      return await store.write("controller", id, value);
    } catch {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
