import { parseArgs } from "node:util";

export interface DemoOptions {
  /** Keep everything running until Ctrl-C instead of telling the story and ending. */
  keep: boolean;
  /** Drive the services that `docker compose up` started instead of starting any. */
  compose: boolean;
  /** A Redis to use, as a URL. Absent: a private one where redis-server is installed, else SQLite. */
  redis: string | undefined;
  /** An OTLP/HTTP endpoint that gets a copy of all telemetry, as a URL. */
  otlp: string | undefined;
  /** Put the gRPC hop on SPIFFE mutual TLS. */
  mtls: boolean;
  /** The first of the ports that the demo listens on. */
  port: number;
}

export const usage = `npm run demo [-- OPTIONS]

Starts two storefronts, two payments and two ledgers with a real Postgres, a shared store and the feedback controller,
drives real traffic through them, breaks them, and tells what happened. Ends by itself within 120 seconds; the exit code
is 0 only if everything in the story happened. "npm start" keeps it running until Ctrl-C.

  --redis URL    use this Redis (default: a private redis-server on a free port where one is installed, else SQLite)
  --otlp URL     also send all telemetry to this OTLP/HTTP endpoint, such as http://127.0.0.1:4318
  --mtls         SPIFFE mutual TLS between storefront and payments, with a throw-away authority that rotates
  --port N       first of 22 ports to listen on (default 7400)
  --compose      drive the services of "docker compose up --build --wait" instead of starting any
  --keep         keep running until Ctrl-C
  --help
`;

/** A command line that can't be followed; the message says what is wrong and what would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): DemoOptions | "help" {
  let values: ReturnType<typeof read>;
  try {
    values = read(args);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return "help";
  const port = Number(values.port ?? 7400);
  if (!Number.isInteger(port) || port < 1024 || port > 65_000)
    throw new UsageError(`--port must be a whole number from 1024 to 65000, not "${values.port}"`);
  requireUrl("--redis", values.redis, ["redis:", "rediss:"], "redis://127.0.0.1:6379");
  requireUrl("--otlp", values.otlp, ["http:", "https:"], "http://127.0.0.1:4318");
  if (values.compose) {
    for (const name of ["redis", "otlp", "mtls", "port"] as const) {
      if (values[name] !== undefined)
        throw new UsageError(`--${name} has no effect with --compose: compose.yaml says what the services use`);
    }
  }
  return {
    keep: values.keep ?? false,
    compose: values.compose ?? false,
    redis: values.redis,
    otlp: values.otlp,
    mtls: values.mtls ?? false,
    port,
  };
}

function read(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      redis: { type: "string" },
      otlp: { type: "string" },
      mtls: { type: "boolean" },
      port: { type: "string" },
      compose: { type: "boolean" },
      keep: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}

function requireUrl(option: string, value: string | undefined, protocols: readonly string[], example: string): void {
  if (value === undefined) return;
  if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
    throw new UsageError(`${option} must be a URL such as ${example}, not "${value}"`);
  }
}
