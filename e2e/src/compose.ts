import { type SpawnOptions, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Checks, must } from "./checks.ts";
import { Jaeger, type JaegerSpan } from "./jaeger.ts";

const PROJECT = "holdfast-e2e";
const env = { ...process.env, COMPOSE_PROJECT_NAME: PROJECT };
/** Scope of spans that are told by whoever comes later and not ended by a tracer. */
const STORY_SCOPE = "holdfast.story";
const services = ["storefront", "payments", "ledger"] as const;

/**
 * Starts compose.yaml, lets the demo tell its story on it, then asks Jaeger whether all of it can be found there.
 *
 * @returns how many checks failed
 */
export async function composeChecks(): Promise<number> {
  const checks = new Checks();
  const fromMs = Date.now();
  try {
    await command("docker", ["compose", "up", "--build", "--wait", "--wait-timeout", "180", "--quiet-pull"]);
    await checks.check("the demo's story happens on compose", async () => {
      await command("npm", ["run", "demo", "--", "--compose"]);
      return "exit code 0";
    });
    const toMs = Date.now() + 5_000;
    const port = (await output("docker", ["compose", "port", "jaeger", "16686"])).trim();
    const jaeger = new Jaeger(`http://${port}`);
    const window = { fromMs, toMs };
    await checks.check("one query finds a trace through storefront, payments and ledger", () =>
      oneTrace(jaeger, window),
    );
    await checks.check("rejections by an open breaker are in the trace", () => rejections(jaeger, window));
    await checks.check("the phases of the shutdown are spans of one trace", () => shutdown(jaeger, window));
    await checks.check("the crash is linked to its failed probes and to the request in flight", () =>
      crash(jaeger, window),
    );
    await checks.check("the controller's decisions are spans with their evidence", () => decisions(jaeger, window));
    await checks.check("after a clean stop no span is missing", () => spansCounted(jaeger, window));
  } catch (error) {
    await checks.check("docker compose", () => Promise.reject(error));
  } finally {
    if (checks.failed > 0) await command("docker", ["compose", "logs", "--tail", "40"]).catch(() => {});
    await command("docker", ["compose", "down", "--volumes", "--timeout", "5"]).catch((error: Error) =>
      console.error(error.message),
    );
  }
  console.log(checks.summary("e2e-compose"));
  return checks.failed;
}

interface Window {
  fromMs: number;
  toMs: number;
}

async function oneTrace(jaeger: Jaeger, window: Window): Promise<string> {
  const traces = await jaeger.search({ ...window, service: "ledger", operation: undefined, limit: 50 });
  const trace = traces.find((spans) => services.every((service) => spans.some((span) => span.service === service)));
  must(trace, `none of ${traces.length} traces of ledger holds spans of ${services.join(", ")}`);
  const byId = new Map(trace.map((span) => [span.spanId, span]));
  const roots = trace.filter((span) => span.parentSpanId === undefined);
  must(
    roots.length === 1 && roots[0]!.service === "storefront",
    `roots: ${roots.map(label).join(", ")}; one of storefront expected`,
  );
  for (const span of trace) {
    must(
      span.parentSpanId === undefined || byId.has(span.parentSpanId),
      `${label(span)} has a parent that is not in the trace`,
    );
    for (const key of ["service.namespace", "service.instance.id"])
      must(span.resource[key], `${label(span)} has no resource attribute ${key}`);
  }
  for (const [caller, callee] of [
    ["storefront", "payments"],
    ["payments", "ledger"],
  ] as const) {
    const entry = trace.find((span) => span.service === callee && span.attributes["span.kind"] === "server");
    must(entry, `no server span of ${callee}`);
    const parent = byId.get(entry.parentSpanId!);
    must(
      parent?.service === caller && parent.attributes["span.kind"] === "client",
      `the parent of ${label(entry)} is ${parent ? label(parent) : "missing"}; a client span of ${caller} expected`,
    );
  }
  const database = trace.filter(
    (span) =>
      span.service === "ledger" && (span.attributes["db.system"] ?? span.attributes["db.system.name"]) === "postgresql",
  );
  must(database.length > 0, "no span of Postgres");
  return `trace ${trace[0]!.traceId}, ${trace.length} spans, ${database.length} of them Postgres`;
}

async function rejections(jaeger: Jaeger, window: Window): Promise<string> {
  const traces = await jaeger.search({
    ...window,
    service: "payments",
    tags: { "holdfast.rejection.reason": "breaker-open" },
    limit: 20,
  });
  must(traces.length > 0, "no span of payments carries holdfast.rejection.reason=breaker-open");
  return `${traces.length}${traces.length === 20 ? " or more" : ""} traces`;
}

async function shutdown(jaeger: Jaeger, window: Window): Promise<string> {
  const told: string[] = [];
  for (const service of services) {
    const traces = await jaeger.search({ ...window, service, operation: "lifecycle.shutdown" });
    must(traces.length >= 2, `${traces.length} shutdowns of ${service}, 2 expected`);
    for (const trace of traces) {
      const root = trace.find((span) => span.name === "lifecycle.shutdown")!;
      for (const phase of ["announce", "drain", "flush", "release"]) {
        must(
          trace.some((span) => span.name === `lifecycle.${phase}` && span.parentSpanId === root.spanId),
          `the shutdown of ${root.resource["service.instance.id"]} has no span lifecycle.${phase} below it`,
        );
      }
    }
    told.push(`${traces.length} of ${service}`);
  }
  return told.join(", ");
}

async function crash(jaeger: Jaeger, window: Window): Promise<string> {
  const traces = await jaeger.search({ ...window, service: "payments", operation: "lifecycle.crash" });
  must(traces.length === 1, `${traces.length} traces with a crash, 1 expected`);
  const trace = traces[0]!;
  const span = trace.find(({ name }) => name === "lifecycle.crash")!;
  const probes = trace.filter(({ name }) => name === "lifecycle.probe");
  must(probes.length > 0, "no failed probe in the incident's trace");
  const linked = (other: JaegerSpan): boolean => span.links.some((link) => link.spanId === other.spanId);
  must(probes.some(linked), "the crash is linked to none of the failed probes");
  const requests = span.links.filter((link) => link.traceId !== span.traceId);
  must(requests.length > 0, "the crash is linked to no request in flight");
  must(span.attributes["exception.type"] !== undefined, "the crash does not say which exception it was");
  return `trace ${span.traceId}: ${probes.length} failed probes, ${requests.length} requests in flight, ${JSON.stringify(span.attributes["exception.type"])}`;
}

async function decisions(jaeger: Jaeger, window: Window): Promise<string> {
  const traces = await jaeger.search({ ...window, service: "feedback-controller", operation: "holdfast.decision" });
  const spans = traces.flat().filter((span) => span.name === "holdfast.decision");
  const knobs = new Set(spans.map((span) => String(span.attributes["holdfast.decision.knob"])));
  for (const knob of ["breaker.failureRateThreshold", "pool.size"])
    must(knobs.has(knob), `no decision on ${knob}; there are decisions on ${[...knobs].join(", ") || "nothing"}`);
  must(
    spans.some((span) => span.links.length > 0),
    "no decision is linked to the traces it was made from",
  );
  return `${spans.length} decisions on ${[...knobs].join(" and ")}`;
}

/** What each process said it had ended, against what Jaeger holds of that process. */
async function spansCounted(jaeger: Jaeger, window: Window): Promise<string> {
  const logs = await output("docker", [
    "compose",
    "logs",
    "--no-color",
    "--no-log-prefix",
    ...services.flatMap((service) => [`${service}-1`, `${service}-2`]),
  ]);
  const closed = logs
    .split("\n")
    .filter((line) => line.includes('"telemetry closed"'))
    .map(
      (line) => JSON.parse(line) as { service: string; instance: string; startedAt: string; spans: { ended: number } },
    );
  must(closed.length === 6, `${closed.length} processes said "telemetry closed", 6 expected`);
  let total = 0;
  for (const service of services) {
    const found = await jaeger.allSpans(service, window.fromMs, window.toMs);
    for (const { instance, startedAt, spans } of closed.filter((line) => line.service === service)) {
      // Told spans (crash, shutdown phases) are not ended by the tracer and not among what it counts.
      const here = found.filter(
        ({ resource, attributes }) =>
          resource["service.instance.id"] === instance &&
          resource["process.creation.time"] === startedAt &&
          attributes["otel.scope.name"] !== STORY_SCOPE,
      );
      must(here.length === spans.ended, `${instance} ended ${spans.ended} spans, Jaeger holds ${here.length}`);
      total += here.length;
    }
  }
  return `${total} spans of 6 processes`;
}

function label(span: JaegerSpan): string {
  return `${span.service} "${span.name}"`;
}

function command(name: string, args: readonly string[]): Promise<void> {
  return start(name, args, { stdio: "inherit" }).then(() => {});
}

function output(name: string, args: readonly string[]): Promise<string> {
  return start(name, args, { stdio: ["ignore", "pipe", "inherit"] });
}

function start(name: string, args: readonly string[], options: SpawnOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { env, ...options });
    const lines: string[] = [];
    if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(lines.join("\n")) : reject(new Error(`${name} ${args.join(" ")} ended with ${code}`)),
    );
  });
}
