import { type Clock, type Logger, messageOf, type Random, rateLimitedLogger, type StorySink } from "@holdfast/core";
import type { OverrideStore, Policy } from "@holdfast/policy";
import { ApiServer } from "./api/api-server.ts";
import { Component } from "./component.ts";
import type { Decision } from "./decide/decision.ts";
import { DecisionLoop } from "./decide/decision-loop.ts";
import type { DecisionSettings } from "./decide/settings.ts";
import { Destination } from "./forward/destination.ts";
import { Forwarder } from "./forward/forwarder.ts";
import { Observer } from "./observe/observer.ts";
import { GrpcReceiver } from "./receive/grpc-receiver.ts";
import { HttpReceiver } from "./receive/http-receiver.ts";
import { Intake } from "./receive/intake.ts";
import { MemoryGate } from "./receive/memory-gate.ts";
import { openDatabase } from "./store/database.ts";
import { DecisionStore } from "./store/decision-store.ts";
import { TraceStore } from "./store/trace-store.ts";

export interface ControllerParts {
  policy: Policy;
  store: OverrideStore;
  settings: DecisionSettings;
  host: string;
  otlpGrpcPort: number;
  otlpHttpPort: number;
  apiPort: number;
  /** Base URLs of OTLP/HTTP endpoints. */
  exports: readonly string[];
  /** File of traces and decisions, or ":memory:". */
  data: string;
  maxTraces: number;
  maxTraceBytes: number;
  maxRssBytes: number;
  author: string;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/** OTLP's receivers take no more in one message, before decompression or after. */
const MAX_BODY_BYTES = 20 * 1024 * 1024;
/** Ten requests of the largest size, or a thousand of the usual. */
const MAX_IN_FLIGHT_BYTES = 256 * 1024 * 1024;
const MAX_QUEUE_BYTES = 64 * 1024 * 1024;
const SPANS_KEPT_PER_SECOND = 2_000;
const DECISIONS_KEPT = 10_000;
/** Spans wait this long to be written together. */
const FLUSH_EVERY_MS = 200;

/**
 * The controller's parts, connected: receivers -> intake -> observer, trace store and destinations; beside them the
 * decision loop and the API.
 *
 * Its own telemetry comes in like everybody's. That is why deciding begins after listening, and why it ends in two steps:
 * `stopDeciding`, and when the last span was told, `close`.
 */
export class Controller {
  readonly grpc: GrpcReceiver;
  readonly http: HttpReceiver;
  readonly api: ApiServer;
  readonly intake: Intake;
  readonly forwarder: Forwarder;
  readonly #parts: ControllerParts;
  readonly #logger: Logger;
  readonly #database: ReturnType<typeof openDatabase>;
  readonly #observer: Observer;
  readonly #traces: TraceStore;
  readonly #decisions: DecisionStore<Decision>;
  readonly #receiving = new Component("receivers");
  readonly #keeping = new Component("trace-store");
  readonly #deciding = new Component("decisions");
  #loop: DecisionLoop | undefined;
  #flushing: { cancel(): void } | undefined;
  #closed = false;

  /** @throws HoldfastError DATA_FILE */
  constructor(parts: ControllerParts) {
    const { host, clock, random, settings } = parts;
    this.#parts = parts;
    // What is said of requests, which come in any number; of decisions every line is written.
    const logger = rateLimitedLogger(parts.logger, { clock });
    this.#logger = logger;
    this.#database = openDatabase(parts.data);
    this.#observer = new Observer({ clock, windowMs: settings.windowMs });
    this.#traces = new TraceStore({
      database: this.#database,
      clock,
      maxTraces: parts.maxTraces,
      maxBytes: parts.maxTraceBytes,
      spansPerSecond: SPANS_KEPT_PER_SECOND,
    });
    this.#decisions = new DecisionStore(this.#database, DECISIONS_KEPT);
    const exporting = parts.exports.map((url) => new Component(`export ${url}`));
    this.forwarder = new Forwarder(
      parts.exports.map((url, index) => {
        const component = exporting[index]!;
        return new Destination({ url, maxQueueBytes: MAX_QUEUE_BYTES, component, clock, random, logger });
      }),
    );
    const gate = new MemoryGate({ maxInFlightBytes: MAX_IN_FLIGHT_BYTES, maxRssBytes: parts.maxRssBytes, clock });
    this.intake = new Intake({ observer: this.#observer, traces: this.#traces, forwarder: this.forwarder, logger });
    const receiver = { host, intake: this.intake, gate, maxBodyBytes: MAX_BODY_BYTES, logger };
    this.grpc = new GrpcReceiver({ ...receiver, port: parts.otlpGrpcPort });
    this.http = new HttpReceiver({ ...receiver, port: parts.otlpHttpPort });
    this.api = new ApiServer({
      host,
      port: parts.apiPort,
      observer: this.#observer,
      loop: () => this.#loop,
      traces: this.#traces,
      decisions: this.#decisions,
      intake: this.intake,
      gate,
      forwarder: this.forwarder,
      components: [this.#receiving, this.#keeping, this.#deciding, ...exporting],
      clock,
      logger,
    });
  }

  /** @throws HoldfastError PORT_TAKEN, naming the option; nothing listens then */
  async listen(): Promise<void> {
    try {
      await this.grpc.start();
      await this.http.start();
      await this.api.start();
    } catch (error) {
      await this.close(0);
      throw error;
    }
    this.#receiving.ok();
    this.#keeping.ok();
    this.#flushSoon();
  }

  /** @param sink where decisions are told as spans */
  decide(sink: StorySink): void {
    const { policy, settings, store, author, clock, logger } = this.#parts;
    this.#loop = new DecisionLoop({
      policy,
      settings,
      store,
      author,
      clock,
      logger,
      sink,
      observer: this.#observer,
      audit: this.#decisions,
      component: this.#deciding,
    });
    this.#loop.start();
  }

  /** Makes no more decisions, and waits until the last was told. Telemetry is still received and passed on. */
  async stopDeciding(): Promise<void> {
    await this.#loop?.close();
  }

  /**
   * Takes nothing more, passes on what was taken, and ends.
   *
   * @param deadlineMs when to give up what could not be passed on, in milliseconds from now
   */
  async close(deadlineMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { clock, store } = this.#parts;
    const startedAtMs = clock.monotonic();
    await this.stopDeciding();
    this.#receiving.stopping();
    await Promise.all([this.grpc.close(), this.http.close()]);
    this.#receiving.stopped();
    await this.forwarder.close(Math.max(0, deadlineMs - (clock.monotonic() - startedAtMs)));
    await this.api.close();
    this.#flushing?.cancel();
    this.#flush();
    this.#database.close();
    await store.close();
  }

  #flushSoon(): void {
    this.#flushing = this.#parts.clock.after(FLUSH_EVERY_MS, () => {
      this.#flush();
      if (!this.#closed) this.#flushSoon();
    });
  }

  #flush(): void {
    try {
      this.#traces.flush();
      this.#keeping.ok();
    } catch (error) {
      this.#keeping.recoverable(error);
      this.#logger.warn({ error: messageOf(error) }, "traces not kept");
    }
  }
}
