import type { Clock, SpanObserver } from "@holdfast/core";
import { reportHeapOom, watchForCrash } from "./crash-watch.ts";
import type { DeathStory } from "./death-story.ts";
import { drainOf, listenOn, servableOf } from "./drain/listen.ts";
import { HealthChecks } from "./health-checks.ts";
import { anomalySpan, shutdownSpans } from "./incident-spans.ts";
import type {
  DrainableServer,
  HealthCheck,
  HealthCheckOptions,
  Lifecycle,
  ServableApp,
  ServeOptions,
  ShutdownHook,
  ShutdownHookOptions,
  ShutdownPhase,
} from "./lifecycle.ts";
import { LifecycleMetrics } from "./lifecycle-metrics.ts";
import { type LifecycleEvent, type LifecycleState, nextState } from "./lifecycle-state.ts";
import { PreviousDeaths } from "./previous-deaths.ts";
import type { CrashRecorder } from "./recorder/crash-recorder.ts";
import type { Lineage } from "./recorder/lineage.ts";
import type { Incident, RecordedEnd, RecordedIdentity, RecordedShutdown } from "./recorder/record-types.ts";
import type { ResolvedOptions } from "./resolve-options.ts";
import { runHook } from "./shutdown/run-hook.ts";
import { ShutdownSequence } from "./shutdown/shutdown-sequence.ts";
import { exitCodeOf, fromTerminal, listenForSignals, type StopSignal } from "./signals.ts";
import { Storyteller } from "./storyteller.ts";
import type { WatchReport } from "./watch/messages.ts";
import { machineMs, SharedStatus } from "./watch/shared-status.ts";
import { WatchHost } from "./watch/watch-host.ts";

const HEARTBEAT_EVERY_MS = 100;
/** The story of the shutdown and the last hook share this much, if there is so much left. */
const STORY_BUDGET_MS = 1_000;
const LAST_BUDGET_MS = 2_000;
/** The watch thread ends a shutdown that hangs this long before the platform would. */
const KILL_BEFORE_GRACE_MS = 100;

const NO_OBSERVER: SpanObserver = { onStart() {}, onEnd() {} };

/** The recorder of this process and the records before it; null where there is no place for them. */
export interface Recording {
  recorder: CrashRecorder;
  lineage: Lineage;
}

export class RunningLifecycle implements Lifecycle {
  readonly observer: SpanObserver;
  readonly #options: ResolvedOptions;
  readonly #clock: Clock;
  readonly #recorder: CrashRecorder | null;
  readonly #deaths: PreviousDeaths | null;
  readonly #status = new SharedStatus();
  readonly #metrics = new LifecycleMetrics();
  readonly #storyteller: Storyteller;
  readonly #checks: HealthChecks;
  readonly #sequence: ShutdownSequence;
  readonly #stopping = new AbortController();
  readonly #drained = new WeakSet<DrainableServer>();
  /** Undo what was done to the process, last first. */
  readonly #undo: (() => void)[] = [];
  #watch: WatchHost | null = null;
  #state: LifecycleState = "starting";
  #incident: Incident | null = null;
  #last: { name: string; hook: ShutdownHook } | null = null;
  #shutdown: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #ended = false;

  private constructor(options: ResolvedOptions, identity: RecordedIdentity, recording: Recording | null) {
    const { clock, logger, sink } = options;
    this.#options = options;
    this.#clock = clock;
    this.#recorder = recording?.recorder ?? null;
    this.observer = this.#recorder ?? NO_OBSERVER;
    this.#storyteller = new Storyteller(sink, clock, logger, (spanIds) => this.#watch?.send({ type: "told", spanIds }));
    this.#sequence = new ShutdownSequence(options.budget, clock);
    this.#checks = new HealthChecks(clock, (checks) => {
      this.#status.criticalFailing = checks.filter((check) => check.critical && check.status !== "passing").length;
      this.#watch?.send({ type: "checks", checks });
      this.#move({ type: "checks", failing: checks.some((check) => check.status === "failing") });
    });
    this.#deaths =
      recording &&
      new PreviousDeaths({
        lineage: recording.lineage,
        sink,
        clock,
        logger,
        teller: () => ({
          incarnation: identity.incarnation,
          bornAtMs: identity.bornAtMs,
          bootedAtMs: clock.now(),
        }),
        onTold: (story) => this.#deathTold(story),
        onIncident: (incident) => this.#watch?.send({ type: "inherit", incident }),
      });
    if (recording) this.#undo.push(reportHeapOom(recording.lineage.folder, recording.lineage.reportName));
  }

  /** @throws what `WatchHost.start` throws */
  static async start(
    options: ResolvedOptions,
    identity: RecordedIdentity,
    recording: Recording | null,
  ): Promise<RunningLifecycle> {
    const lifecycle = new RunningLifecycle(options, identity, recording);
    try {
      await lifecycle.#start(recording);
    } catch (error) {
      await lifecycle.#dismantle();
      throw error;
    }
    return lifecycle;
  }

  async #start(recording: Recording | null): Promise<void> {
    const { service, instance, probe, livenessStallMs, readinessStallMs, logger, signals } = this.#options;
    this.#incident = this.#deaths?.incident ?? null;
    this.#status.beat();
    // The machine's own timer and clock: it is the machine's event loop that is watched.
    const heart = setInterval(() => this.#status.beat(), HEARTBEAT_EVERY_MS);
    heart.unref();
    this.#undo.push(() => clearInterval(heart));
    this.#watch = await WatchHost.start(
      {
        status: this.#status.buffer,
        service,
        instance,
        probe,
        livenessStallMs,
        readinessStallMs,
        recordPath: recording?.lineage.recordPath ?? null,
        incident: this.#incident,
      },
      logger,
      (report) => this.#hear(report),
    );
    this.#undo.push(this.#metrics.observeState(() => this.#state));
    this.#undo.push(
      watchForCrash({
        recorder: this.#recorder,
        clock: this.#clock,
        ended: () => this.#ended,
        onPanic: (origin, fatal) => {
          this.#metrics.panic(origin, !fatal);
          if (fatal) this.#move({ type: "crash" });
        },
      }),
    );
    if (signals) {
      const onFirst = (signal: StopSignal): void => void this.#stopBySignal(signal);
      this.#undo.push(listenForSignals(this.#clock, onFirst, (signal) => this.#force(signal)));
    }
  }

  get state(): LifecycleState {
    return this.#state;
  }

  get probeUrl(): string | null {
    const { probe } = this.#options;
    const port = this.#watch?.probePort ?? null;
    if (!probe || port === null) return null;
    const host = probe.host === "0.0.0.0" || probe.host === "::" ? "127.0.0.1" : probe.host;
    return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  ready(): void {
    this.#move({ type: "ready" });
  }

  addCheck(name: string, check: HealthCheck, options?: HealthCheckOptions): () => void {
    return this.#checks.add(name, check, options);
  }

  onShutdown(phase: ShutdownPhase, name: string, hook: ShutdownHook, options?: ShutdownHookOptions): () => void {
    return this.#sequence.add(phase, name, hook, options);
  }

  setLast(name: string, hook: ShutdownHook): void {
    this.#last = { name, hook };
  }

  async serve(app: ServableApp, options: ServeOptions): Promise<{ port: number }> {
    const servable = servableOf(app);
    // Before it listens, so that the first connection is seen.
    const forget = this.#drainOnShutdown(servable.server, servable.close);
    try {
      const port = await listenOn(servable, options);
      if (options.ready !== false) this.ready();
      return { port };
    } catch (error) {
      forget();
      throw error;
    }
  }

  adopt(server: DrainableServer): void {
    if (!this.#drained.has(server)) this.#drainOnShutdown(server);
  }

  shutdown(trigger: string, options: { lameDuck?: boolean | undefined } = {}): Promise<void> {
    return this.#shutDown(trigger, options.lameDuck ?? true);
  }

  async tellPreviousDeath(): Promise<DeathStory | null> {
    return (await this.#deaths?.tell()) ?? null;
  }

  async close(): Promise<void> {
    if (this.#shutdown) return this.#shutdown;
    this.#stopping.abort();
    this.#end({ kind: "closed", told: true });
    this.#move({ type: "stopped" });
    await this.#dismantle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #drainOnShutdown(server: DrainableServer, close?: () => PromiseLike<unknown>): () => void {
    const drain = drainOf(server, this.#clock);
    this.#drained.add(server);
    const forgetAnnounce = this.onShutdown("announce", "server", () => drain.announce());
    const forgetDrain = this.onShutdown("drain", "server", async ({ signal }) => {
      await drain.drain(signal);
      await close?.();
    });
    return () => {
      this.#drained.delete(server);
      forgetAnnounce();
      forgetDrain();
    };
  }

  async #stopBySignal(signal: StopSignal): Promise<void> {
    await this.#shutDown(signal, !fromTerminal(signal));
    this.#options.exit(0);
  }

  #force(signal: StopSignal): void {
    this.#options.logger.warn({ signal }, "a second signal: the shutdown is cut short");
    const exitCode = exitCodeOf(signal);
    this.#end({ kind: "forced", exitCode, told: false });
    this.#options.exit(exitCode);
  }

  #shutDown(trigger: string, lameDuck: boolean): Promise<void> {
    this.#shutdown ??= this.#closing ?? this.#runShutdown(trigger, lameDuck);
    return this.#shutdown;
  }

  async #runShutdown(trigger: string, lameDuck: boolean): Promise<void> {
    const { logger, budget } = this.#options;
    // Our timers keep nobody alive, and the servers are about to go: something must see to the end.
    const alive = setInterval(() => {}, 1_000);
    this.#status.killAtMs = machineMs() + budget.graceMs - KILL_BEFORE_GRACE_MS;
    logger.info({ trigger, ...budget }, "shutting down");
    this.#move({ type: "shutdown" });
    // Whether an incident is open may stand in a message that is not read yet.
    this.#watch?.drain();
    this.#stopping.abort();
    const shutdown = await this.#sequence.run({
      trigger,
      lameDuck,
      incident: this.#incident,
      onBegin: ({ traceId, spanId }) => this.#watch?.send({ type: "shutdown", traceId, spanId }),
      onProgress: (progress) => this.#recorder?.shutdown(progress),
      onPhaseEnd: (phase) => this.#metrics.phase(phase, trigger),
    });
    const told = await this.#tellShutdown(shutdown);
    const last = await this.#runLast();
    this.#end({ kind: "shutdown", told, last: last ?? undefined });
    logger.info(
      {
        trigger,
        outcome: shutdown.outcome,
        phases: Object.fromEntries(shutdown.phases.map((phase) => [phase.phase, phase.outcome])),
        failedHooks: shutdown.phases.flatMap(({ hooks }) => hooks.filter((hook) => hook.outcome !== "ok")),
        told,
        last,
      },
      "shut down",
    );
    this.#move({ type: "stopped" });
    await this.#dismantle();
    clearInterval(alive);
  }

  async #tellShutdown(shutdown: RecordedShutdown): Promise<boolean> {
    this.#watch?.drain();
    // A rollout is a story of its own; one that overran is an incident, which goes on in the next process.
    if (shutdown.outcome === "timeout" && !this.#incident) {
      const { traceId, spanId, startMs } = shutdown;
      this.#incident = { traceId, rootSpanId: spanId, openedAtMs: startMs, openedBy: "shutdown" };
      this.#watch?.send({ type: "inherit", incident: this.#incident });
    }
    const incident = this.#incident?.traceId === shutdown.traceId;
    this.#storyteller.tell(...shutdownSpans(shutdown, { incident, openUntilMs: this.#clock.now() }));
    return this.#storyteller.flush(Math.min(STORY_BUDGET_MS, this.#sequence.remainingMs / 2));
  }

  async #runLast(): Promise<RecordedEnd["last"] | null> {
    if (!this.#last) return null;
    const budgetMs = Math.min(LAST_BUDGET_MS, this.#sequence.remainingMs);
    return runHook(this.#last.name, this.#last.hook, budgetMs, this.#clock);
  }

  #move(event: LifecycleEvent): void {
    const from = this.#state;
    this.#state = nextState(from, event);
    if (this.#state === from) return;
    this.#status.state = this.#state;
    this.#options.logger.info({ from, to: this.#state }, "lifecycle state");
  }

  #hear(report: WatchReport): void {
    switch (report.type) {
      case "incident":
        this.#incident = report.incident;
        break;
      case "anomaly":
        this.#storyteller.tell(anomalySpan(report.anomaly, report.anomaly.startMs));
        break;
      case "stall-over":
        this.#metrics.stall();
        this.#options.logger.warn({ durationMs: Math.round(report.durationMs) }, "the event loop stood still");
        break;
      case "probes":
        this.#metrics.probes(report.probes);
        break;
    }
  }

  #deathTold(story: DeathStory): void {
    this.#metrics.death(story.cause);
    if (story.cause === "graceful") return;
    const { cause, incarnation, instance, diedAtMs, openSpans, incidentTraceId } = story;
    this.#options.logger.warn(
      { cause, instance, incarnation, diedAt: new Date(diedAtMs).toISOString(), openSpans, incidentTraceId },
      "a previous process of this instance died; its story was told",
    );
  }

  #end(end: Omit<RecordedEnd, "atMs">): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#recorder?.end({ ...end, atMs: this.#clock.now() });
  }

  #dismantle(): Promise<void> {
    this.#closing ??= (async () => {
      this.#checks.close();
      this.#deaths?.close();
      this.#storyteller.close();
      await this.#watch?.stop();
      for (const undo of this.#undo.reverse()) undo();
      this.#recorder?.close();
    })();
    return this.#closing;
  }
}
