import type { X509Certificate } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { resolve } from "node:path";
import {
  type Clock,
  HoldfastError,
  type Logger,
  messageOf,
  numberOption,
  rateLimitedLogger,
  silentLogger,
  systemClock,
  type Timer,
} from "@holdfast/core";
import { parseTrustDomain } from "./spiffe-id.ts";
import { SvidReader } from "./svid-reader.ts";
import type { X509Source, X509Svid } from "./x509-source.ts";

export interface SvidFilesOptions {
  /** Where spiffe-helper, a CSI driver or a test writes `svid.pem`, `svid_key.pem` and `bundle.pem`. */
  directory: string;
  /** Other names for the three. */
  files?: { svid?: string | undefined; key?: string | undefined; bundle?: string | undefined } | undefined;
  /**
   * Bundles of other trust domains: the domain's name to a PEM file, relative to the directory. Default none. A bundle for
   * the SVID's own trust domain is `bundle.pem` and nothing else.
   */
  federatedBundles?: Readonly<Record<string, string>> | undefined;
  /** How long to wait for the first SVID, in milliseconds. Default 30_000, from 0 (one look) to 600_000. */
  initTimeoutMs?: number | undefined;
  /** How often to look even if the file system told of no change, in ms. Default 5_000, from 50 to 600_000. */
  pollMs?: number | undefined;
  /** Gives up waiting for the first SVID. */
  signal?: AbortSignal | undefined;
  logger?: Logger | undefined;
  clock?: Clock | undefined;
}

/** There was no usable SVID in time. The message says what was wrong with what was there. */
export class SvidUnavailableError extends HoldfastError<"SVID_UNAVAILABLE"> {
  override readonly name = "SvidUnavailableError";

  constructor(message: string, options: { cause?: unknown } = {}) {
    super("SVID_UNAVAILABLE", message, options);
  }
}

/** Issuers renew around the half of an SVID's life; one that is still here after this part of it was forgotten. */
const LATE_ROTATION = 2 / 3;

/**
 * Opens an X.509-SVID that something else writes to a directory, and follows it as it is rotated.
 *
 * A certificate and a key that do not belong together, as a reader sees between two writes, are passed over: the last pair
 * that did stays in use.
 *
 * @throws SvidUnavailableError when there is no usable SVID within `initTimeoutMs`; TypeError or RangeError for a wrong
 *   option; the signal's reason when it aborts
 */
export async function openSvidFiles(options: SvidFilesOptions): Promise<X509Source> {
  const source = new SvidFiles(options);
  try {
    await source.first(options);
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

class SvidFiles implements X509Source {
  readonly #directory: string;
  readonly #federated: readonly string[];
  readonly #reader: SvidReader;
  readonly #pollMs: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #lastError: Error | undefined;
  #loading: Promise<void> | undefined;
  #lookAgain = false;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #closed = false;
  #warnedOf: X509Svid | undefined;

  constructor(options: SvidFilesOptions) {
    const { directory, files = {}, federatedBundles = {}, logger = silentLogger, clock = systemClock } = options;
    this.#directory = directory;
    const at = (name: string): string => resolve(directory, name);
    const federated = new Map(
      Object.entries(federatedBundles).map(([name, file]) => [parseTrustDomain(name), at(file)]),
    );
    this.#federated = [...federated.keys()];
    const paths = {
      svid: at(files.svid ?? "svid.pem"),
      key: at(files.key ?? "svid_key.pem"),
      bundle: at(files.bundle ?? "bundle.pem"),
      federated,
    };
    this.#reader = new SvidReader(paths, clock);
    this.#pollMs = numberOption("pollMs", options.pollMs, 5_000, { min: 50, max: 600_000 });
    this.#logger = rateLimitedLogger(logger, { clock });
    this.#clock = clock;
  }

  get svid(): X509Svid {
    const { svid } = this.#reader;
    if (!svid) throw new SvidUnavailableError(`no SVID was loaded from ${this.#directory}`);
    return svid;
  }

  get trustDomains(): readonly string[] {
    return [...new Set([this.svid.id.trustDomain, ...this.#federated])];
  }

  authorities(trustDomain: string): readonly X509Certificate[] {
    return this.#reader.authorities(trustDomain);
  }

  get secondsToExpiry(): number {
    return (this.svid.notAfterMs - this.#clock.now()) / 1_000;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  isHealthy(): boolean {
    const now = this.#clock.now();
    return now >= this.svid.notBeforeMs && now < this.svid.notAfterMs;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async first(options: SvidFilesOptions): Promise<void> {
    const initTimeoutMs = numberOption("initTimeoutMs", options.initTimeoutMs, 30_000, { min: 0, max: 600_000 });
    const { signal } = options;
    await this.#load();
    signal?.throwIfAborted();
    this.#arm();
    if (this.#isWhole()) return;
    // The waiting itself must hold the process: a top-level await that only unref'd timers serve ends it in silence.
    const hold = setInterval(() => {}, 60_000);
    try {
      await new Promise<void>((resolveFirst, reject) => {
        const forget = this.onChange(() => {
          if (this.#isWhole()) done(resolveFirst);
        });
        const onAbort = (): void => done(() => reject(signal?.reason));
        const timeout = this.#clock.after(initTimeoutMs, () => done(() => reject(this.#unavailable(initTimeoutMs))));
        const done = (settle: () => void): void => {
          forget();
          timeout.cancel();
          signal?.removeEventListener("abort", onAbort);
          settle();
        };
        signal?.addEventListener("abort", onAbort, { once: true });
        if (this.#isWhole()) done(resolveFirst);
      });
    } finally {
      clearInterval(hold);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watcher?.close();
    this.#listeners.clear();
    await this.#loading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isWhole(): boolean {
    return this.#reader.svid !== undefined && this.#lastError === undefined;
  }

  #unavailable(initTimeoutMs: number): SvidUnavailableError {
    const why = this.#lastError ? messageOf(this.#lastError) : "nothing could be read";
    return new SvidUnavailableError(`no usable SVID in ${this.#directory} within ${initTimeoutMs} ms: ${why}`, {
      cause: this.#lastError,
    });
  }

  #arm(): void {
    if (this.#closed) return;
    this.#watch();
    this.#timer = this.#clock.after(this.#pollMs, () => {
      void this.#load().then(() => {
        this.#warn();
        this.#arm();
      });
    });
  }

  #watch(): void {
    if (this.#watcher) return;
    const forget = (watcher: FSWatcher | undefined): void => {
      watcher?.close();
      if (this.#watcher === watcher) this.#watcher = undefined;
    };
    try {
      // The directory, not the files: a rename over a file ends the watch of what was there before.
      const watcher = watch(this.#directory, { persistent: false }, () => void this.#load());
      watcher.on("error", () => forget(watcher));
      this.#watcher = watcher;
    } catch {
      // Not there yet, or no watches left: the poll goes on, and tries again.
      forget(this.#watcher);
    }
  }

  /** Never rejects. One look at a time; a change told of during one is looked at after it. */
  #load(): Promise<void> {
    this.#lookAgain = true;
    this.#loading ??= (async () => {
      while (this.#lookAgain && !this.#closed) {
        this.#lookAgain = false;
        await this.#look();
      }
      this.#loading = undefined;
    })();
    return this.#loading;
  }

  async #look(): Promise<void> {
    const before = this.#reader.svid;
    const wasWhole = this.#isWhole();
    const { changed, problem } = await this.#reader.look();
    if (this.#closed) return;
    this.#lastError = problem;
    const svid = this.#reader.svid;
    if (svid && svid !== before) {
      this.#logger.info({ spiffeId: svid.id.uri, notAfter: new Date(svid.notAfterMs).toISOString() }, "SVID in use");
    }
    if (changed || this.#isWhole() !== wasWhole) this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#logger.error({ error: messageOf(error) }, "a listener to SVID changes failed");
      }
    }
  }

  /** Only from the poll: between the writes of one rotation anything can be seen, and is gone by now. */
  #warn(): void {
    if (this.#lastError)
      this.#logger.warn({ error: this.#lastError.message }, "an SVID or bundle on disk is not usable");
    const { svid } = this.#reader;
    if (!svid || this.#warnedOf === svid) return;
    const lived = (this.#clock.now() - svid.notBeforeMs) / (svid.notAfterMs - svid.notBeforeMs);
    if (lived < LATE_ROTATION) return;
    this.#warnedOf = svid;
    const fields = { spiffeId: svid.id.uri, secondsToExpiry: Math.round(this.secondsToExpiry) };
    this.#logger.warn(fields, "the SVID was not rotated in time: it is past two thirds of its life");
  }
}
