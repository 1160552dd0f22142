import { describe, expect, it } from "vitest";
import { parseOptions, UsageError } from "./options.ts";

describe("the demo's command line", () => {
  it("needs nothing", () => {
    expect(parseOptions([])).toEqual({
      keep: false,
      compose: false,
      redis: undefined,
      otlp: undefined,
      mtls: false,
      port: 7400,
    });
  });

  it("gives help whatever else stands there", () => {
    expect(parseOptions(["--port", "1", "--help"])).toBe("help");
  });

  it.each([
    [["--port", "80"], "--port must be a whole number from 1024 to 65000"],
    [["--port", "x"], "--port must be a whole number"],
    [["--redis", "localhost"], "--redis must be a URL such as redis://"],
    [["--redis", "http://127.0.0.1"], "--redis must be a URL such as redis://"],
    [["--otlp", "127.0.0.1:4318"], "--otlp must be a URL such as http://"],
    [["--compose", "--mtls"], "--mtls has no effect with --compose"],
    [["--fast"], "--fast"],
    [["extra"], "extra"],
  ])("refuses %j and names what is wrong", (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });
});
