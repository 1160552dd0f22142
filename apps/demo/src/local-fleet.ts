import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { guardDirectory, probe, type Rotation, ThrowawayAuthority } from "@holdfast/testkit";
import { startPostgres } from "./embedded-postgres.ts";
import type { Fleet, FleetLine, Instance, Role } from "./fleet.ts";
import type { DemoOptions } from "./options.ts";
import { checkPorts, type WishedPort } from "./ports.ts";
import { ProcessSupervisor } from "./process-supervisor.ts";
import { policyOfItsOwn, startStore } from "./store.ts";
import type { Terminal } from "./terminal.ts";

/** What the ledger's Postgres allows: little, so that the controller's guard over all pools has something to guard. */
const MAX_CONNECTIONS = 40;
/** Time that an entry spends in Postgres on top of its own work: what makes two connections an instance too few. */
const LEDGER_WORK_MS = 75;
const READY_TIMEOUT_MS = 45_000;

const referenceService = fileURLToPath(new URL("../../reference-service/src/main.ts", import.meta.url));
const feedbackController = fileURLToPath(new URL("../../feedback-controller/src/main.ts", import.meta.url));

interface LocalFleet extends Fleet {
  /** Process id of an instance or of the controller, while it runs. */
  pid(name: string): number | undefined;
  /** Every TCP port that the fleet listens on, with what listens there. */
  ports: readonly { port: number; what: string; process: string }[];
}

/** What of the options matters when everything is started on this machine. */
export type LocalFleetOptions = Pick<DemoOptions, "redis" | "otlp" | "mtls" | "port">;

/**
 * Starts it all on this machine: a store, Postgres, the controller, two instances of each role. Everything listens on
 * 127.0.0.1 and ends with this process, however that ends.
 *
 * @throws PortTakenError; Error naming the process that did not become ready, with its last lines
 */
export async function localFleet(
  options: LocalFleetOptions,
  policyFile: URL,
  terminal: Pick<Terminal, "say" | "progress">,
): Promise<LocalFleet> {
  const ports = layPorts(options.port);
  await checkPorts(ports);

  await using started = new AsyncDisposableStack();
  const home = mkdtempSync(join(tmpdir(), "holdfast-demo-"));
  const guard = guardDirectory(home);
  started.defer(() => {
    rmSync(home, { recursive: true, force: true });
    guard.dismiss();
  });

  const store = await startStore(options, home, started);
  terminal.say(`store: ${store.name}`);
  const postgres = started.use(await startPostgres({ maxConnections: MAX_CONNECTIONS }));
  terminal.say(`Postgres on port ${postgres.port}, ${postgres.maxConnections} connections at most`);
  const identities = options.mtls ? await startAuthority(home, started) : undefined;
  if (identities)
    terminal.say("throw-away SPIFFE authority: identities for storefront and payments, renewed every 10 s");

  const supervisor = started.use(new ProcessSupervisor());
  const listeners = new Set<(line: FleetLine) => void>();
  const tell = (line: FleetLine): void => {
    for (const listener of listeners) listener(line);
  };
  supervisor.on("line", ({ name, readAtMs, fields }) => tell({ instance: name, readAtMs, fields }));
  supervisor.on("exit", ({ name, code, signal, expected }) =>
    tell({ instance: name, readAtMs: Date.now(), fields: { msg: "process ended", code, signal, expected } }),
  );

  const policy = options.redis === undefined ? fileURLToPath(policyFile) : policyOfItsOwn(policyFile, home, terminal);
  const adminToken = randomBytes(24).toString("hex");
  const controller = ports.controller;
  await supervisor.start({
    name: "controller",
    args: [
      "--conditions=@holdfast/source",
      feedbackController,
      `--policy=${policy}`,
      ...(store.env.HOLDFAST_REDIS_URL
        ? [`--redis=${store.env.HOLDFAST_REDIS_URL}`]
        : [`--sqlite=${store.env.HOLDFAST_SQLITE}`]),
      `--otlp-grpc-port=${controller.grpc}`,
      `--otlp-http-port=${controller.http}`,
      `--api-port=${controller.api}`,
      `--data=${join(home, "controller.sqlite")}`,
      `--max-connections=${MAX_CONNECTIONS}`,
      // Quick, as the policy is: a production controller looks at minutes.
      "--window=5s",
      "--interval=1s",
      "--cooldown=12s",
      ...(options.otlp ? [`--export=${options.otlp}`] : []),
    ],
    env: {
      ...inherited(),
      HOLDFAST_PROBE_PORT: String(controller.probe),
      HOLDFAST_PROBE_HOST: "127.0.0.1",
      HOLDFAST_STATE_DIR: join(home, "state", "controller"),
      HOLDFAST_LAME_DUCK: "100ms",
    },
  });

  const instances = roles.flatMap((role) => [0, 1].map((index) => instanceOf(role, index, options.port)));
  for (const { instance, places } of instances) {
    await supervisor.start({
      name: instance.name,
      args: ["--conditions=@holdfast/source", referenceService, "--role", instance.role],
      env: {
        ...inherited(),
        ...store.env,
        HOST: "127.0.0.1",
        PORT: String(places.main),
        ADMIN_PORT: String(places.admin),
        ADMIN_TOKEN: adminToken,
        HOLDFAST_POLICY: policy,
        HOLDFAST_DOMAIN: instance.name,
        HOLDFAST_PROBE_PORT: String(places.probe),
        HOLDFAST_PROBE_HOST: "127.0.0.1",
        HOLDFAST_STATE_DIR: join(home, "state", instance.name),
        HOLDFAST_LAME_DUCK: "200ms",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${controller.grpc}`,
        OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=${instance.name}`,
        PAYMENTS_ADDRESS: `ipv4:${[0, 1].map((index) => `127.0.0.1:${placesOf("payments", index, options.port).main}`).join(",")}`,
        LEDGER_URLS: [0, 1]
          .map((index) => `http://127.0.0.1:${placesOf("ledger", index, options.port).main}`)
          .join(","),
        DATABASE_URL: postgres.url,
        LEDGER_WORK_MS: String(LEDGER_WORK_MS),
        ...(identities && instance.role !== "ledger" ? { MTLS_DIR: identities[instance.role] } : {}),
      },
    });
  }

  await waitUntilReady(
    [
      { name: "controller", probeUrl: `http://127.0.0.1:${controller.probe}` },
      ...instances.map(({ instance }) => instance),
    ],
    supervisor,
    terminal,
  );
  const all = started.move();
  const serviceNames = instances.map(({ instance }) => instance.name);

  return {
    instances: instances.map(({ instance }) => instance),
    adminToken,
    controllerUrl: `http://127.0.0.1:${controller.api}`,
    storeName: store.name,
    privateStore: store.private,
    jaegerUrl: undefined,
    ports,
    pid: (name) => supervisor.get(name)?.pid,
    onLine(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stopServices() {
      // The controller last: the others' last spans go through it.
      const codes = await supervisor.stop(serviceNames);
      return { ...codes, ...(await supervisor.stop(["controller"])) };
    },
    close: () => all.disposeAsync(),
  };
}

const roles: readonly Role[] = ["storefront", "payments", "ledger"];

interface Places {
  main: number;
  admin: number;
  probe: number;
}

/** From the first port on: three for each instance, in the order of the calls. */
function placesOf(role: Role, index: number, first: number): Places {
  const main = first + (roles.indexOf(role) * 2 + index) * 3;
  return { main, admin: main + 1, probe: main + 2 };
}

function instanceOf(role: Role, index: number, first: number): { instance: Instance; places: Places } {
  const places = placesOf(role, index, first);
  const at = (port: number): string => `http://127.0.0.1:${port}`;
  const instance: Instance = {
    name: `${role}-${index + 1}`,
    role,
    url: role === "payments" ? undefined : at(places.main),
    adminUrl: at(places.admin),
    probeUrl: at(places.probe),
  };
  return { instance, places };
}

type Ports = (WishedPort & { process: string })[] & {
  controller: { grpc: number; http: number; api: number; probe: number };
};

function layPorts(first: number): Ports {
  const option = "--port";
  const ports: (WishedPort & { process: string })[] = [];
  for (const role of roles) {
    for (const index of [0, 1]) {
      const process = `${role}-${index + 1}`;
      const { main, admin, probe } = placesOf(role, index, first);
      ports.push(
        { port: main, what: process, process, option },
        { port: admin, what: `${process}'s admin endpoint`, process, option },
        { port: probe, what: `${process}'s probes`, process, option },
      );
    }
  }
  const base = first + 18;
  const controller = { grpc: base, http: base + 1, api: base + 2, probe: base + 3 };
  for (const [what, port] of [
    ["OTLP/gRPC", controller.grpc],
    ["OTLP/HTTP", controller.http],
    ["API", controller.api],
    ["probes", controller.probe],
  ] as const) {
    ports.push({ port, what: `the controller's ${what}`, process: "controller", option });
  }
  return Object.assign(ports, { controller });
}

async function startAuthority(
  home: string,
  started: AsyncDisposableStack,
): Promise<Readonly<Record<"storefront" | "payments", string>>> {
  const authority = await ThrowawayAuthority.create({ trustDomain: "demo.example" });
  const directories = { storefront: join(home, "svid", "storefront"), payments: join(home, "svid", "payments") };
  for (const [name, directory] of Object.entries(directories)) {
    const rotation: Rotation = await authority.rotateEvery(directory, `spiffe://demo.example/${name}`, {
      everyMs: 10_000,
    });
    started.use(rotation);
  }
  return directories;
}

/** Nothing of this process's own OTEL_ or HOLDFAST_ settings reaches the fleet: the demo says openly what it uses. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(OTEL_|HOLDFAST_|CONTROLLER_|NODE_OPTIONS$|PORT$|HOST$|ROLE$)/.test(name),
    ),
  );
}

async function waitUntilReady(
  instances: readonly { name: string; probeUrl: string }[],
  supervisor: ProcessSupervisor,
  terminal: Pick<Terminal, "say" | "progress">,
): Promise<void> {
  const began = performance.now();
  const waiting = new Set(instances);
  while (waiting.size > 0) {
    for (const instance of waiting) {
      const { ok } = await probe(`${instance.probeUrl}/readyz`, { timeoutMs: 1_000 });
      if (ok) waiting.delete(instance);
    }
    if (waiting.size === 0) break;
    const names = [...waiting].map(({ name }) => name);
    if (performance.now() - began > READY_TIMEOUT_MS) {
      const last =
        supervisor
          .get(names[0]!)
          ?.lines.slice(-10)
          .map(({ text }) => `    ${text}`) ?? [];
      throw new Error(
        `${names.join(", ")} did not become ready within ${READY_TIMEOUT_MS / 1_000} s; the last lines of ${names[0]}:\n${last.join("\n")}`,
      );
    }
    terminal.progress(`waiting for ${names.join(", ")}`);
    await delay(200);
  }
  terminal.say(`${instances.length} processes ready after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}
