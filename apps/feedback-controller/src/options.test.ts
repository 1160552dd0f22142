import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { helpText, resolveOptions } from "./options.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-controller-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

function problems(args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  try {
    resolveOptions(args, env);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("the controller's options", () => {
  it("are safe for production by default", () => {
    expect(resolveOptions(["--policy", "p.yaml"], {})).toMatchObject({
      host: "127.0.0.1",
      otlpGrpcPort: 4317,
      otlpHttpPort: 4318,
      apiPort: 4320,
      export: [],
      windowMs: 60_000,
      intervalMs: 15_000,
      cooldownMs: 190_000,
      overrideTtlMs: 600_000,
      maxConnections: undefined,
      shadow: false,
    });
  });

  it("come from flags, then the environment, then the options file", () => {
    const config = file(
      "options.yaml",
      "controller: { window: 5s, cooldown: 12s, interval: 2s, maxConnections: 60, export: [http://a:4318], apiPort: 1 }",
    );
    const env = { CONTROLLER_INTERVAL: "1s", CONTROLLER_API_PORT: "2", HOLDFAST_REDIS_URL: "redis://r" };
    const options = resolveOptions(["--policy=p", "--config", config, "--api-port", "3"], env);
    expect(options).toMatchObject({
      windowMs: 5_000,
      cooldownMs: 12_000,
      intervalMs: 1_000,
      apiPort: 3,
      maxConnections: 60,
      export: ["http://a:4318"],
      redis: "redis://r",
    });
  });

  it("take several destinations", () => {
    expect(resolveOptions(["--policy=p", "--export=http://a", "--export=http://b"], {})!.export).toEqual([
      "http://a",
      "http://b",
    ]);
    expect(resolveOptions(["--policy=p"], { CONTROLLER_EXPORT: "http://a, http://b" })!.export).toEqual([
      "http://a",
      "http://b",
    ]);
  });

  it("ask for nothing more than help", () => {
    expect(resolveOptions(["--help"], {})).toBeUndefined();
    for (const flag of ["--policy", "--redis", "--window", "--max-connections", "--export", "--shadow", "--config"])
      expect(helpText()).toContain(flag);
  });

  it("are refused all at once, each with what would be right", () => {
    const text = problems(["--window", "5", "--api-port", "70000", "--redis=a", "--sqlite=b", "--export=jaeger"]);
    expect(text.split("\n")).toEqual(
      [
        '--api-port must be a whole number from 0 to 65535, not "70000"',
        '--window "5" is not a duration: write a number and a unit, such as "250ms", "1.5s", "2m" or "1h"',
        "--policy is missing: name the policy document of the fleet",
        "--redis and --sqlite exclude each other: name one",
        '--export must be a URL such as http://jaeger:4318, not "jaeger"',
      ].sort((a, b) => text.indexOf(a) - text.indexOf(b)),
    );
  });

  it.each([
    [["--cooldown=8s", "--window=5s"], "--cooldown 8s is shorter than two windows (--window 5s)"],
    [["--interval=10s", "--window=5s"], "--interval 10s is longer than the window (--window 5s)"],
    [["--log-level=loud"], '--log-level must be debug, info, warn or error, not "loud"'],
    [["--wnidow=5s"], "Unknown option '--wnidow'"],
  ])("are refused: %j", (args, message) => {
    expect(problems(["--policy=p", ...args])).toContain(message);
  });

  it("are refused a file with a key that is none, or that is no options file", () => {
    const unknown = file("unknown.yaml", "controller: { windwo: 5s }");
    expect(problems(["--policy=p", "--config", unknown])).toContain("controller.windwo in");
    const list = file("list.yaml", "[1]");
    expect(problems(["--policy=p", "--config", list])).toContain('must hold one key, "controller"');
    expect(problems(["--policy=p", "--config", join(directory, "none.yaml")])).toContain("cannot be read");
  });
});
