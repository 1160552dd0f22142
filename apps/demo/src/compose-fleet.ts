import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { HoldfastError } from "@holdfast/core";
import type { Fleet, FleetLine, Instance, Role } from "./fleet.ts";
import type { Terminal } from "./terminal.ts";

const run = promisify(execFile);

interface ComposeService {
  Service: string;
  State: string;
  ExitCode: number;
  Publishers: { TargetPort: number; PublishedPort: number }[] | null;
}

const roles: readonly Role[] = ["storefront", "payments", "ledger"];

/**
 * The fleet that `docker compose up --build --wait` started, seen through the compose command line.
 *
 * @throws HoldfastError COMPOSE_NOT_RUNNING naming what is missing
 */
export async function composeFleet(terminal: Terminal): Promise<Fleet> {
  const services = await ps();
  const find = (name: string): ComposeService => {
    const service = services.find(({ Service, State }) => Service === name && State === "running");
    if (!service)
      throw new HoldfastError(
        "COMPOSE_NOT_RUNNING",
        `The service "${name}" of compose.yaml is not running. Start it all with: docker compose up --build --wait`,
      );
    return service;
  };
  const url = (name: string, port: number): string => {
    const published = find(name).Publishers?.find(
      ({ TargetPort, PublishedPort }) => TargetPort === port && PublishedPort > 0,
    );
    if (!published)
      throw new HoldfastError(
        "COMPOSE_NOT_RUNNING",
        `The service "${name}" does not publish its port ${port}; is this the project's compose.yaml?`,
      );
    return `http://127.0.0.1:${published.PublishedPort}`;
  };
  const instances = roles.flatMap((role) =>
    [1, 2].map((index): Instance => {
      const name = `${role}-${index}`;
      return {
        name,
        role,
        url: role === "payments" ? undefined : url(name, 8080),
        adminUrl: url(name, 9091),
        probeUrl: url(name, 9090),
      };
    }),
  );
  const listeners = new Set<(line: FleetLine) => void>();
  const tell = (instance: string, fields: Readonly<Record<string, unknown>>): void => {
    for (const listener of listeners) listener({ instance, readAtMs: Date.now(), fields });
  };
  const followers = [followLogs(tell), followDeaths(tell)];
  terminal.say(`${instances.length} instances, the controller, Redis, Postgres and Jaeger run in containers`);
  const serviceNames = instances.map(({ name }) => name);

  return {
    instances,
    adminToken: process.env.HOLDFAST_ADMIN_TOKEN ?? "only-for-this-machine",
    controllerUrl: url("controller", 4320),
    storeName: "Redis",
    privateStore: {
      // Measured from the container's start, which comes before its server answers: 0.8 to 2.0 s.
      backWithinMs: 5_000,
      kill: async () => void (await compose(["kill", "--signal", "SIGKILL", "redis"])),
      revive: async () => {
        await compose(["start", "redis"]);
        const startedAtMs = Date.now();
        while (!(await compose(["exec", "-T", "redis", "redis-cli", "ping"]).catch(() => "")).includes("PONG"));
        return startedAtMs;
      },
    },
    jaegerUrl: url("jaeger", 16686),
    onLine(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stopServices() {
      await compose(["stop", ...serviceNames]);
      await compose(["stop", "controller"]);
      const codes = await ps();
      return Object.fromEntries(
        [...serviceNames, "controller"].map((name) => [
          name,
          codes.find(({ Service }) => Service === name)?.ExitCode ?? null,
        ]),
      );
    },
    close: () => {
      for (const follower of followers) follower.kill();
      return Promise.resolve();
    },
  };
}

async function compose(args: readonly string[]): Promise<string> {
  try {
    return (await run("docker", ["compose", ...args], { maxBuffer: 16 * 1024 * 1024 })).stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT")
      throw new HoldfastError(
        "COMPOSE_NOT_RUNNING",
        "--compose needs the docker command with its compose plugin on the PATH",
        { cause: error },
      );
    throw new HoldfastError("COMPOSE_FAILED", `docker compose ${args.join(" ")} failed: ${stderr?.trim()}`, {
      cause: error,
    });
  }
}

async function ps(): Promise<ComposeService[]> {
  const out = await compose(["ps", "--all", "--format", "json"]);
  return out
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as ComposeService);
}

type Tell = (instance: string, fields: Readonly<Record<string, unknown>>) => void;

interface Follower {
  kill(): void;
}

/** Each line comes as `payments-1-1  | {"time":...}`: container name, bar, what the process wrote. */
function followLogs(tell: Tell): Follower {
  return follow(["logs", "--follow", "--no-color", "--since", "0s"], (line) => {
    const [, instance, text] = /^(\S+?)-\d+\s+\| (\{.*)$/.exec(line) ?? [];
    if (instance && text) tell(instance, JSON.parse(text) as Record<string, unknown>);
  });
}

function followDeaths(tell: Tell): Follower {
  return follow(["events", "--json"], (line) => {
    const event = JSON.parse(line) as { action: string; service: string; attributes: Record<string, string> };
    if (event.action === "die") tell(event.service, { msg: "process ended", code: Number(event.attributes.exitCode) });
  });
}

function follow(args: readonly string[], onLine: (line: string) => void): Follower {
  const child = spawn("docker", ["compose", ...args], { stdio: ["ignore", "pipe", "ignore"] });
  createInterface({ input: child.stdout }).on("line", (line) => {
    try {
      onLine(line);
    } catch {
      // Half a line, when the container died in the middle of it.
    }
  });
  return { kill: () => void child.kill() };
}
