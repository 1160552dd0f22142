import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "./embedded-postgres.ts";

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query(text)).rows as Record<string, unknown>[];
  } finally {
    await client.end().catch(() => {});
  }
}

describe("the embedded Postgres", () => {
  let postgres: EmbeddedPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ maxConnections: 40 });
  });
  afterAll(() => postgres.stop());

  it("is a real server with a process for each of many connections", async () => {
    const clients = Array.from({ length: 30 }, () => new Client({ connectionString: postgres.url }));
    await Promise.all(clients.map((client) => client.connect()));
    const answers = await Promise.all(clients.map((client) => client.query("SELECT pg_backend_pid() AS pid")));
    expect(new Set(answers.map((answer) => (answer.rows as { pid: number }[])[0]!.pid)).size).toBe(30);
    await Promise.all(clients.map((client) => client.end()));
  });

  it("has the limit of connections that was asked for", async () => {
    expect(await query(postgres.url, "SHOW max_connections")).toEqual([{ max_connections: "40" }]);
    expect(postgres.maxConnections).toBe(40);
  });

  it("lets nobody in without its password", async () => {
    const url = new URL(postgres.url);
    url.password = "wrong";
    await expect(query(url.href, "SELECT 1")).rejects.toThrow("password authentication failed");
  });

  it("never runs as root", () => {
    const owner = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${postgres.pid}/status`, "utf8"))?.[1];
    expect(owner).not.toBe("0");
  });
});

describe("stopping the embedded Postgres", () => {
  /** Where its programs and data are. */
  const directoryOf = (pid: number) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")[0]!
      .replace(/\/postgres\/bin.*/, "");

  it("leaves no process and no file behind", async () => {
    const postgres = await startPostgres();
    const directory = directoryOf(postgres.pid);
    expect(existsSync(directory)).toBe(true);
    await postgres.stop();
    await postgres.stop();
    expect(existsSync(`/proc/${postgres.pid}`)).toBe(false);
    expect(existsSync(directory)).toBe(false);
  });

  it("keeps the data where a directory was given", async () => {
    const parent = mkdtempSync(join(tmpdir(), "holdfast-data-"));
    const dataDir = join(parent, "data");
    chmodSync(parent, 0o755);
    try {
      const first = await startPostgres({ dataDir });
      await query(first.url, "CREATE TABLE entry AS SELECT 7 AS amount");
      await first.stop();
      await using second = await startPostgres({ dataDir });
      expect(await query(second.url, "SELECT amount FROM entry")).toEqual([{ amount: 7 }]);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  });

  it.each(["SIGINT", "SIGKILL"] as const)("happens by itself when its parent is ended by %s", async (signal) => {
    const script = `
      import { startPostgres } from ${JSON.stringify(new URL("./embedded-postgres.ts", import.meta.url).href)};
      const postgres = await startPostgres();
      console.log(JSON.stringify({ pid: postgres.pid, url: postgres.url }));
      setInterval(() => {}, 1_000);
    `;
    const parent = spawn(process.execPath, ["--conditions=@holdfast/source", "--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
    const { pid, url } = JSON.parse(line) as { pid: number; url: string };
    const client = new Client({ connectionString: url });
    client.on("error", () => {});
    await client.connect();
    const directory = directoryOf(pid);
    expect(existsSync(directory)).toBe(true);
    parent.kill(signal);
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => existsSync(directory), { timeout: 10_000 }).toBe(false);
  });
});

it("passes on the server's own words when it does not start", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "holdfast-data-"));
  try {
    const first = await startPostgres({ dataDir });
    // Two servers on one data directory.
    await expect(startPostgres({ dataDir })).rejects.toThrow(/lock file "postmaster.pid" already exists/);
    await first.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

it("keeps data in a private directory for a plain user, and says why it can't for root", async () => {
  const parent = mkdtempSync(join(tmpdir(), "holdfast-data-"));
  try {
    const starting = startPostgres({ dataDir: join(parent, "data") });
    if (process.getuid?.() === 0) await expect(starting).rejects.toThrow('"nobody", who cannot reach');
    else await (await starting).stop();
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

it("refuses a number of connections that is none", async () => {
  await expect(startPostgres({ maxConnections: 0 })).rejects.toThrow("maxConnections must be");
});
