import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PolicyError, parsePolicy } from "@holdfast/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveSettings } from "./settings.ts";

const document = `
apiVersion: holdfast.dev/v1alpha1
kind: Policy
namespace: shop
lifecycle: { probePort: 9191, grace: 20s, lameDuck: 1s }
telemetry: { metricExportInterval: 2s }
targets:
  ledger: { mode: enforce }
`;

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-settings-"));
  file = join(folder, "policy.yaml");
  writeFileSync(file, document);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("settings", () => {
  it("are defaults where nothing is said", () => {
    expect(resolveSettings({ env: {} })).toMatchObject({
      service: "unknown_service",
      namespace: "default",
      policyNamed: false,
      redis: null,
      sqlite: null,
      mode: undefined,
      lifecycle: {
        probe: { port: 9_090, host: undefined },
        stateDir: undefined,
        graceMs: 30_000,
        lameDuckMs: 5_000,
      },
      logLevel: "info",
    });
  });

  it("come from the policy, which a path, a text or a parsed one can be", () => {
    for (const policy of [file, document, parsePolicy(document)]) {
      expect(resolveSettings({ policy, env: {} })).toMatchObject({
        policyNamed: true,
        namespace: "shop",
        lifecycle: { probe: { port: 9_191 }, graceMs: 20_000, lameDuckMs: 1_000 },
        metricExportIntervalMs: 2_000,
      });
    }
    expect(resolveSettings({ env: { HOLDFAST_POLICY: file } }).policy.target("ledger").mode).toBe("enforce");
  });

  it("come from the environment rather than the policy, and from the options rather than either", () => {
    const env = {
      HOLDFAST_POLICY: file,
      HOLDFAST_NAMESPACE: "env",
      HOLDFAST_REDIS_URL: "redis://127.0.0.1:1",
      HOLDFAST_SQLITE: "/tmp/x.db",
      HOLDFAST_MODE: "enforce",
      HOLDFAST_PROBE_PORT: "0",
      HOLDFAST_PROBE_HOST: "127.0.0.1",
      HOLDFAST_GRACE: "10s",
      HOLDFAST_LAME_DUCK: "200ms",
      HOLDFAST_LOG_LEVEL: "warn",
      OTEL_SERVICE_NAME: "env-service",
      OTEL_METRIC_EXPORT_INTERVAL: "500",
    };
    expect(resolveSettings({ env })).toMatchObject({
      service: "env-service",
      namespace: "env",
      redis: "redis://127.0.0.1:1",
      sqlite: "/tmp/x.db",
      mode: "enforce",
      lifecycle: { probe: { port: 0, host: "127.0.0.1" }, graceMs: 10_000, lameDuckMs: 200 },
      logLevel: "warn",
      // Telemetry reads its own variable.
      metricExportIntervalMs: undefined,
    });
    expect(
      resolveSettings({
        env,
        service: "mine",
        namespace: "ns",
        redis: null,
        mode: "off",
        probe: false,
        graceMs: 5_000,
      }),
    ).toMatchObject({
      service: "mine",
      namespace: "ns",
      redis: null,
      mode: "off",
      lifecycle: { probe: false, graceMs: 5_000 },
    });
  });

  it.each([
    [{ HOLDFAST_MODE: "on" }, /HOLDFAST_MODE must be one of "enforce", "observe", "off", not "on"/],
    [{ HOLDFAST_PROBE_PORT: "http" }, /HOLDFAST_PROBE_PORT: "http" is not a port/],
    [{ HOLDFAST_GRACE: "30" }, /HOLDFAST_GRACE: "30" is not a duration/],
    [{ HOLDFAST_LOG_LEVEL: "loud" }, /HOLDFAST_LOG_LEVEL must be one of/],
    [{ HOLDFAST_POLICY: "/nowhere/policy.yaml" }, /\/nowhere\/policy\.yaml/],
  ])("name the variable that is wrong: %o", (env, message) => {
    expect(() => resolveSettings({ env })).toThrow(message);
  });

  it("pass on what is wrong with the policy", () => {
    expect(() => resolveSettings({ env: {}, policy: document.replace("enforce", "enforced") })).toThrow(PolicyError);
  });
});
