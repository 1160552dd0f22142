import { describe, expect, it } from "vitest";
import { ConfigError, help, readConfig } from "./config.ts";

const ledger = { ROLE: "ledger", DATABASE_URL: "postgres://u:secret@127.0.0.1:5432/ledger" };

function problemsOf(args: readonly string[], env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readConfig(args, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("the configuration", () => {
  it("takes the role from the command line before the environment", () => {
    expect(readConfig(["--role", "payments"], { ...ledger, LEDGER_URLS: "http://a:1, https://b:2" })).toEqual({
      role: "payments",
      listen: { host: "127.0.0.1", port: 50_051 },
      admin: undefined,
      ledgerUrls: ["http://a:1", "https://b:2"],
      mtlsDir: undefined,
    });
  });

  it("has no admin endpoint unless a token is set", () => {
    expect(readConfig([], { ...ledger, ADMIN_PORT: "7000" })).toMatchObject({ admin: undefined });
    expect(readConfig([], { ...ledger, ADMIN_TOKEN: "0123456789abcdef", HOST: "0.0.0.0" })).toMatchObject({
      admin: { token: "0123456789abcdef", host: "0.0.0.0", port: 9091 },
    });
  });

  it("treats an empty variable as one that is not set", () => {
    expect(readConfig([], { ...ledger, ADMIN_TOKEN: "", PORT: " ", LEDGER_WORK_MS: "" })).toMatchObject({
      admin: undefined,
      listen: { port: 8081 },
      workMs: 0,
    });
  });

  it("names the roles when the one given is none of them", () => {
    expect(problemsOf(["--role", "cashier"], {})).toEqual([
      '--role (or ROLE) must be one of storefront, payments, ledger, not "cashier"',
    ]);
    expect(problemsOf([], {})).toEqual(["--role (or ROLE) must be one of storefront, payments, ledger"]);
  });

  it("lists every problem at once", () => {
    expect(problemsOf(["--role", "storefront"], { PORT: "70000", ADMIN_TOKEN: "short", ADMIN_PORT: "x" })).toEqual([
      "ADMIN_TOKEN must have 16 characters or more",
      'PORT must be a whole number from 0 to 65535, not "70000"',
      'ADMIN_PORT must be a whole number from 0 to 65535, not "x"',
      "PAYMENTS_ADDRESS is required, for example dns:///payments:50051",
    ]);
  });

  it("never repeats a database URL, which may hold a password", () => {
    const problems = problemsOf([], { ROLE: "ledger", DATABASE_URL: "mysql://u:hunter2@h/db" });
    expect(problems).toEqual(["DATABASE_URL must be a URL that begins with postgres:// or postgresql://"]);
  });

  it("refuses a list of no URLs", () => {
    expect(problemsOf([], { ROLE: "payments", LEDGER_URLS: "," })).toEqual([
      "LEDGER_URLS is required, for example http://ledger:8081",
    ]);
  });

  it("refuses options that it does not know", () => {
    expect(problemsOf(["--rolle", "ledger"], {})[0]).toContain("--rolle");
  });

  it("explains every variable of its own in --help", () => {
    expect(readConfig(["--help"], {})).toBe("help");
    for (const name of ["PORT", "PAYMENTS_ADDRESS", "LEDGER_URLS", "DATABASE_URL", "ADMIN_TOKEN", "MTLS_DIR"])
      expect(help).toContain(name);
  });
});
