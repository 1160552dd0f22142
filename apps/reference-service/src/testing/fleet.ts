import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRedis } from "@holdfast/testkit";
import { type OtlpReceiver, startOtlpReceiver } from "../../../../packages/telemetry/src/testing/otlp-receiver.ts";
import { startPostgres } from "../../../demo/src/embedded-postgres.ts";
import type { Role } from "../config.ts";
import { RoleProcess } from "./role-process.ts";

export interface TestFleetOptions {
  /** Whether a Postgres is needed. Default true. */
  postgres?: boolean;
}

/** Everything that the roles need, for real, and the roles that a test starts. */
export class TestFleet implements AsyncDisposable {
  readonly receiver: OtlpReceiver;
  readonly redisUrl: string;
  /** A folder of this fleet's own. */
  readonly directory: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #resources = new AsyncDisposableStack();
  #started = 0;

  private constructor(receiver: OtlpReceiver, redisUrl: string, directory: string, databaseUrl: string | undefined) {
    this.receiver = receiver;
    this.redisUrl = redisUrl;
    this.directory = directory;
    this.#env = {
      HOLDFAST_REDIS_URL: redisUrl,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      DATABASE_URL: databaseUrl,
    };
  }

  static async start(options: TestFleetOptions = {}): Promise<TestFleet> {
    const [receiver, redis, postgres, directory] = await Promise.all([
      startOtlpReceiver(),
      startRedis(),
      options.postgres === false ? undefined : startPostgres(),
      mkdtemp(join(tmpdir(), "reference-service-")),
    ]);
    const fleet = new TestFleet(receiver, redis.url, directory, postgres?.url);
    fleet.#resources.defer(() => rm(directory, { recursive: true, force: true }));
    fleet.#resources.use(receiver);
    fleet.#resources.use(redis);
    fleet.#resources.use(postgres);
    return fleet;
  }

  /** Starts one instance, which ends with the fleet at the latest; resolves when it listens. */
  async startRole(role: Role, env: NodeJS.ProcessEnv = {}): Promise<RoleProcess> {
    const started = this.spawnRole(role, env);
    await started.listening();
    return started;
  }

  /** The same without waiting. */
  spawnRole(role: Role, env: NodeJS.ProcessEnv = {}): RoleProcess {
    const HOLDFAST_STATE_DIR = join(this.directory, `${role}-${++this.#started}`);
    return this.#resources.use(new RoleProcess(role, { ...this.#env, HOLDFAST_STATE_DIR, ...env }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

export interface CheckoutAnswer {
  status: number;
  body: { status?: string; entryId?: string; error?: string; message?: string };
}

/** What a customer does. */
export async function checkout(
  storefront: RoleProcess,
  order: unknown = { orderId: crypto.randomUUID(), amountCents: 1_299 },
  headers: Record<string, string> = {},
): Promise<CheckoutAnswer> {
  const response = await fetch(`${storefront.url}/checkout`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof order === "string" ? order : JSON.stringify(order),
  });
  return { status: response.status, body: (await response.json()) as CheckoutAnswer["body"] };
}
