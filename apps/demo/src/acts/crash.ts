import { startProber } from "@holdfast/testkit";
import { type Act, instancesOf, ms, type Stage, watchTraffic } from "./stage.ts";

interface TracedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string | undefined;
  name: string;
  startMs: number;
  durationMs: number;
  status: string;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  resource?: Record<string, unknown>;
}

export const crash: Act = {
  title: "5  An instance stalls, then crashes, and its story is told",
  async play(stage) {
    const { fleet, events, admin, terminal, traffic } = stage;
    const victim = instancesOf(fleet, "payments")[0]!;
    /** How long each readiness probe that was answered with "not ready" waited for that answer. */
    const refusals: number[] = [];
    let stalled = true;
    await using prober = startProber({
      url: `${victim.probeUrl}/readyz`,
      periodMs: 250,
      timeoutMs: 1_000,
      onResult: (result) => {
        if (stalled && result.status === 503) refusals.push(result.durationMs);
      },
    });
    const from = Date.now();
    // The answer comes only after the stall.
    const stall = admin.inject(victim, { blockMs: 2_500 });
    terminal.say(`${victim.name}: event loop blocked for 2.5 s; its readiness probe is asked every 250 ms`);
    await watchTraffic(stage, "stalled", 2_500);
    await stall;
    stalled = false;
    terminal.say(
      `${refusals.length} probes failed during the stall, answered within ${ms(Math.max(...refusals))} each (a probe on the main thread would have timed out)`,
    );

    const crashedAt = Date.now();
    await admin.inject(victim, { crash: true });
    const crashed = await events.until(
      () => events.all("process ended", (line) => line.instance === victim.name && line.readAtMs >= crashedAt)[0],
      10_000,
    );
    terminal.say(
      crashed
        ? `${victim.name}: died of an uncaught exception, exit code ${crashed.fields.code}`
        : `${victim.name} did not die`,
    );
    const restarted = await events.until(
      () =>
        events.all(
          "lifecycle state",
          ({ instance, readAtMs, fields }) =>
            instance === victim.name && readAtMs >= crashedAt && fields.to === "ready",
        )[0],
      15_000,
    );
    if (restarted)
      terminal.say(`${victim.name}: ready again ${ms(restarted.readAtMs - crashedAt)} after the crash was asked for`);
    const finding = findStory(stage, victim.name, restarted?.readAtMs ?? crashedAt);
    await watchTraffic(stage, "waiting for the story", 25_000, finding);
    const story = await finding;
    const seen = traffic.summary(from);
    if (story) for (const line of story.lines) terminal.say(line);
    await prober.close();

    return [
      {
        what: "stalled, not dead",
        measured: `${refusals.length} readiness probes answered "stalled" in at most ${ms(Math.max(...refusals))}; the process was left alive`,
        happened: refusals.length > 0,
      },
      {
        what: "crash story",
        measured: story
          ? `trace ${story.traceId}: ${story.probes} failed probes, ${story.requests} requests in flight linked; told ${Math.round(story.toldMs)} ms after the next process was ready; ${seen.errors} of ${seen.calls} checkouts failed meanwhile`
          : "not told",
        happened: story !== undefined && story.probes > 0 && story.requests > 0,
        traceId: story?.traceId,
      },
    ];
  },
};

interface Story {
  traceId: string;
  probes: number;
  requests: number;
  toldMs: number;
  lines: string[];
}

const TOLD = "a previous process of this instance died; its story was told";

/** Asks the controller, which keeps recent traces, for the incident of this instance. */
async function findStory({ fleet, events }: Stage, instance: string, readyAtMs: number): Promise<Story | undefined> {
  const told = await events.until(() => events.all(TOLD, (line) => line.instance === instance)[0], 15_000);
  if (!told) return undefined;
  const traceId = String(told.fields.incidentTraceId);
  for (let attempt = 0; attempt < 30; attempt++) {
    const response = await fetch(`${fleet.controllerUrl}/api/traces/${traceId}`, {
      signal: AbortSignal.timeout(2_000),
    });
    if (response.ok) {
      const { spans } = (await response.json()) as { spans: TracedSpan[] };
      const crashSpan = spans.find((span) => span.name === "lifecycle.crash");
      if (crashSpan) return tell(spans, crashSpan, told.readAtMs - readyAtMs);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return undefined;
}

function tell(spans: readonly TracedSpan[], crashSpan: TracedSpan, toldMs: number): Story {
  const ordered = [...spans].sort((a, b) => a.startMs - b.startMs);
  const zero = ordered[0]!.startMs;
  const probes = ordered.filter((span) => span.name === "lifecycle.probe");
  const ownTrace = crashSpan.links.filter((link) => link.traceId === crashSpan.traceId);
  return {
    traceId: crashSpan.traceId,
    probes: probes.length,
    requests: crashSpan.links.length - ownTrace.length,
    toldMs,
    lines: [
      `the next process told the story, trace ${crashSpan.traceId}:`,
      ...ordered.map(
        (span) =>
          `    +${String(Math.round(span.startMs - zero)).padStart(5)} ms  ${span.name.padEnd(22)} ${describe(span)}`,
      ),
    ],
  };
}

function describe(span: TracedSpan): string {
  const { attributes, links } = span;
  const words = [
    attributes["exception.type"],
    attributes["exception.message"],
    attributes["probe.outcome"],
    attributes.reason,
  ]
    .filter((word) => word !== undefined)
    .map(String);
  if (links.length > 0) words.push(`${links.length} links`);
  words.push(ms(span.durationMs));
  return words.join(", ");
}
