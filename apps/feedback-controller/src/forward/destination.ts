import { type Clock, type Logger, messageOf, type Random, sleep } from "@holdfast/core";
import { Pool } from "undici";
import type { Component } from "../component.ts";
import { type Format, readPartialSuccess } from "../otlp/index.ts";

export interface DestinationOptions {
  /** Base of an OTLP/HTTP endpoint; `/v1/traces` and the like are appended. */
  url: string;
  /** Bytes that may wait. */
  maxQueueBytes: number;
  component: Component;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/** One request to pass on. */
export interface Parcel {
  path: string;
  format: Format;
  encoding: "gzip" | undefined;
  bytes: Uint8Array;
  /** Spans, points or log records in it. */
  items: number;
}

export interface DestinationCounts {
  /** Items that the destination took. */
  sent: number;
  /** Items that it refused for good, or did not take in time. */
  failed: number;
  /** Items that found no room in the queue. */
  dropped: number;
  /** Items that it took a request of, but said that it did not take (partial success). */
  rejected: number;
  /** Items of a kind that the destination does not take. */
  unwanted: number;
  queuedBytes: number;
}

/** Requests under way to one destination at a time. */
const SENDERS = 4;
/** The Collector's exporterhelper: 5 s, times 1.5, up to 30 s, given up after 300 s. */
const FIRST_WAIT_MS = 5_000;
const WAIT_FACTOR = 1.5;
const LONGEST_WAIT_MS = 30_000;
const GIVEN_UP_AFTER_MS = 300_000;
/** Nobody waits for a back-off during shutdown. */
const DRAIN_WAIT_MS = 100;
const ANSWER_WITHIN_MS = 10_000;
/** A destination that does not know a kind of telemetry may be replaced by one that does. */
const ASKED_AGAIN_AFTER_MS = 300_000;
/** An answer is a few bytes; more is not read. */
const LONGEST_ANSWER = 64 * 1024;

/** Statuses after which OTLP/HTTP may be tried again (OTLP specification, "Retryable Response Codes"). */
const RETRYABLE = new Set([429, 502, 503, 504]);

interface Queued extends Parcel {
  sinceMs: number;
}

/** An OTLP/HTTP endpoint with a queue of its own: a slow one holds up no other. */
export class Destination {
  readonly #options: DestinationOptions;
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #queue: Queued[] = [];
  readonly #idle: (() => void)[] = [];
  readonly #senders: Promise<void>[];
  /** Ends waits between attempts. */
  readonly #draining = new AbortController();
  /** Ends everything. */
  readonly #ended = new AbortController();
  /** Paths that the destination does not have, and until when it is not asked again, in milliseconds. */
  readonly #unknownUntilMs = new Map<string, number>();
  readonly counts: DestinationCounts = { sent: 0, failed: 0, dropped: 0, rejected: 0, unwanted: 0, queuedBytes: 0 };

  constructor(options: DestinationOptions) {
    this.#options = options;
    const url = new URL(options.url);
    this.#basePath = url.pathname.replace(/\/$/, "");
    this.#pool = new Pool(url.origin, {
      connections: SENDERS,
      headersTimeout: ANSWER_WITHIN_MS,
      bodyTimeout: ANSWER_WITHIN_MS,
      connectTimeout: ANSWER_WITHIN_MS,
    });
    options.component.ok();
    this.#senders = Array.from({ length: SENDERS }, () => this.#send());
  }

  get url(): string {
    return this.#options.url;
  }

  /** Takes a request to pass on, or counts it as dropped when the queue is full. */
  offer(parcel: Parcel): void {
    const { maxQueueBytes, component, logger, clock } = this.#options;
    if (clock.monotonic() < (this.#unknownUntilMs.get(parcel.path) ?? 0)) {
      this.counts.unwanted += parcel.items;
      return;
    }
    if (this.counts.queuedBytes + parcel.bytes.length > maxQueueBytes || this.#ended.signal.aborted) {
      this.counts.dropped += parcel.items;
      component.recoverable(new Error("the queue is full"));
      logger.warn({ destination: this.url, dropped: this.counts.dropped }, "queue full, telemetry not passed on");
      return;
    }
    this.counts.queuedBytes += parcel.bytes.length;
    this.#queue.push({ ...parcel, sinceMs: clock.monotonic() });
    this.#idle.shift()?.();
  }

  /**
   * Sends what is queued, without waiting long between attempts, and ends.
   *
   * @param deadlineMs when to give up, in milliseconds from now; what is left then counts as failed
   */
  async close(deadlineMs: number): Promise<void> {
    const { clock, component, logger } = this.#options;
    component.stopping();
    this.#draining.abort();
    for (const wake of this.#idle.splice(0)) wake();
    const timer = clock.after(deadlineMs, () => this.#ended.abort());
    await Promise.all(this.#senders);
    timer.cancel();
    this.#ended.abort();
    const lost = this.#queue.splice(0).reduce((items, parcel) => items + parcel.items, 0);
    this.counts.failed += lost;
    this.counts.queuedBytes = 0;
    await this.#pool.destroy();
    component.stopped();
    const { sent, failed, dropped, unwanted } = this.counts;
    logger[lost > 0 ? "warn" : "info"](
      { destination: this.url, sent, failed, dropped, unwanted, lost },
      "forwarding closed",
    );
  }

  async #send(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const parcel = this.#queue.shift();
      if (parcel !== undefined) await this.#deliver(parcel);
      else if (this.#draining.signal.aborted) return;
      else await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  async #deliver(parcel: Queued): Promise<void> {
    const { clock, component, logger } = this.#options;
    let waitMs = FIRST_WAIT_MS;
    let result = await this.#attempt(parcel);
    while (result.outcome === "retry") {
      component.recoverable(new Error(result.error));
      logger.warn({ destination: this.url, error: result.error }, "telemetry not passed on yet");
      if (this.#ended.signal.aborted || clock.monotonic() - parcel.sinceMs > GIVEN_UP_AFTER_MS) break;
      await this.#wait(Math.max(result.afterMs, waitMs));
      waitMs = Math.min(LONGEST_WAIT_MS, waitMs * WAIT_FACTOR);
      result = await this.#attempt(parcel);
    }
    if (result.outcome === "sent") component.ok();
    else if (result.outcome === "unwanted") this.#setAside(parcel.path);
    else logger.warn({ destination: this.url, items: parcel.items, error: result.error }, "telemetry not passed on");
    this.counts[result.outcome === "retry" ? "failed" : result.outcome] += parcel.items;
    this.counts.queuedBytes -= parcel.bytes.length;
  }

  /** Jaeger takes traces and nothing else: what it answers with 404 is not sent to it again and again. */
  #setAside(path: string): void {
    const { clock, logger } = this.#options;
    const known = this.#unknownUntilMs.has(path);
    this.#unknownUntilMs.set(path, clock.monotonic() + ASKED_AGAIN_AFTER_MS);
    if (!known) logger.info({ destination: this.url, path }, "the destination does not take this kind of telemetry");
  }

  /** Between attempts: a while with jitter, or hardly any when we are about to end. */
  async #wait(waitMs: number): Promise<void> {
    const { clock, random } = this.#options;
    const draining = this.#draining.signal.aborted;
    const signal = draining ? this.#ended.signal : this.#draining.signal;
    const jittered = waitMs * (0.75 + random() / 2);
    await sleep(clock, draining ? DRAIN_WAIT_MS : jittered, signal).catch(() => {});
  }

  async #attempt(parcel: Parcel): Promise<Attempt> {
    const { path, format, encoding, bytes } = parcel;
    try {
      const response = await this.#pool.request({
        method: "POST",
        path: `${this.#basePath}${path}`,
        headers: {
          "content-type": format === "json" ? "application/json" : "application/x-protobuf",
          ...(encoding === undefined ? {} : { "content-encoding": encoding }),
        },
        body: bytes,
        signal: this.#ended.signal,
      });
      const answer = await readAnswer(response.body);
      return this.#judge(response.statusCode, response.headers["retry-after"], format, answer);
    } catch (error) {
      return { outcome: "retry", afterMs: 0, error: messageOf(error) };
    }
  }

  #judge(statusCode: number, retryAfter: string | string[] | undefined, format: Format, answer: Uint8Array): Attempt {
    if (statusCode >= 200 && statusCode < 300) {
      const { rejected, message } = readPartialSuccess(format, answer);
      if (rejected > 0) {
        this.counts.rejected += rejected;
        this.#options.logger.warn({ destination: this.url, rejected, message }, "telemetry taken in part");
      }
      return { outcome: "sent" };
    }
    const error = `the destination answered ${statusCode}`;
    if (statusCode === 404) return { outcome: "unwanted", error };
    if (!RETRYABLE.has(statusCode)) return { outcome: "failed", error };
    const seconds = Number(retryAfter ?? 0);
    return { outcome: "retry", afterMs: Number.isFinite(seconds) ? Math.min(seconds, 60) * 1_000 : 0, error };
  }
}

type Attempt =
  | { outcome: "sent" }
  | { outcome: "failed" | "unwanted"; error: string }
  | { outcome: "retry"; afterMs: number; error: string };

async function readAnswer(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > LONGEST_ANSWER) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
