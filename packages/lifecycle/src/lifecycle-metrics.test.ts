import { silentLogger } from "@holdfast/core";
import { probe } from "@holdfast/testkit";
import { type MeterProvider, metrics } from "@opentelemetry/api";
import { afterEach, describe, expect, it } from "vitest";
import { createLifecycle } from "./index.ts";

type Attributes = Record<string, unknown>;
const recorded: { name: string; value: number; attributes: Attributes }[] = [];
const gauges = new Set<(result: { observe(value: number, attributes: Attributes): void }) => void>();

/** Notes what it is given; the SDK's own aggregation is not ours to test. */
const provider = {
  getMeter: () => {
    const instrument = (name: string) => ({
      record: (value: number, attributes: Attributes) => recorded.push({ name, value, attributes }),
      add: (value: number, attributes: Attributes) => recorded.push({ name, value, attributes }),
      addCallback: (callback: never) => gauges.add(callback),
      removeCallback: (callback: never) => gauges.delete(callback),
    });
    return { createHistogram: instrument, createCounter: instrument, createObservableGauge: instrument };
  },
} as unknown as MeterProvider;

afterEach(() => metrics.disable());

describe("lifecycle metrics", () => {
  it("say in which state the instance is, how long probes and phases took", async () => {
    metrics.setGlobalMeterProvider(provider);
    const lifecycle = await createLifecycle({
      service: "measured",
      probe: { port: 0, host: "127.0.0.1" },
      stateDir: false,
      signals: false,
      lameDuckMs: 0,
      logger: silentLogger,
      sink: { exportSpans: async () => {} },
    });
    lifecycle.ready();
    const states: Record<string, number> = {};
    for (const observe of gauges)
      observe({ observe: (value, { "lifecycle.state": state }) => (states[String(state)] = value) });
    expect(states).toEqual({ starting: 0, ready: 1, degraded: 0, draining: 0, stopped: 0, crashed: 0 });

    await probe(`${lifecycle.probeUrl}/livez`);
    while (!recorded.some(({ name }) => name === "lifecycle.probe.duration")) await new Promise(setImmediate);
    expect(recorded).toMatchObject([{ attributes: { probe: "livez", outcome: "success" } }]);

    recorded.length = 0;
    await lifecycle.shutdown("test");
    expect(recorded.map(({ name, attributes }) => [name, attributes])).toEqual(
      ["announce", "drain", "flush", "release"].map((phase) => [
        "lifecycle.shutdown.duration",
        { phase, trigger: "test", outcome: "ok" },
      ]),
    );
    expect(gauges.size).toBe(0);
  });
});
