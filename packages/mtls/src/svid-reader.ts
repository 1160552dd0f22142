import type { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Clock, messageOf } from "@holdfast/core";
import { parseCertificates, parseSvid } from "./pem.ts";
import type { X509Svid } from "./x509-source.ts";

export interface SvidPaths {
  svid: string;
  key: string;
  /** Of the SVID's own trust domain. */
  bundle: string;
  /** Of other trust domains, by name. */
  federated: ReadonlyMap<string, string>;
}

export interface Look {
  /** Whether anything that is in use was replaced. */
  changed: boolean;
  /** Why something was not taken; undefined when all is well. */
  problem: Error | undefined;
}

interface Loaded<T> {
  text: string;
  value: T;
}

/** The newest usable SVID and bundles among files, taken part by part: what is wrong on disk replaces nothing. */
export class SvidReader {
  readonly #paths: SvidPaths;
  readonly #clock: Clock;
  #svid: Loaded<X509Svid> | undefined;
  readonly #bundles = new Map<string, Loaded<readonly X509Certificate[]>>();

  constructor(paths: SvidPaths, clock: Clock) {
    this.#paths = paths;
    this.#clock = clock;
  }

  get svid(): X509Svid | undefined {
    return this.#svid?.value;
  }

  authorities(trustDomain: string): readonly X509Certificate[] {
    const { bundle, federated } = this.#paths;
    const file = trustDomain === this.svid?.id.trustDomain ? bundle : (federated.get(trustDomain) ?? "");
    return this.#bundles.get(file)?.value ?? [];
  }

  /** Reads everything, then puts into use what changed, in one step. Never rejects. */
  async look(): Promise<Look> {
    // The SVID first: who writes it wrote the bundle before, so a new SVID is never seen beside the old bundle.
    const parts = [
      () => this.#readSvid(),
      ...[this.#paths.bundle, ...this.#paths.federated.values()].map((file) => () => this.#readBundle(file)),
    ];
    const problems: unknown[] = [];
    const changes: (() => void)[] = [];
    // Each part on its own: an authority that was taken out of a bundle must go, also while a pair is torn.
    for (const read of parts) {
      try {
        const change = await read();
        if (change) changes.push(change);
      } catch (error) {
        problems.push(error);
      }
    }
    for (const change of changes) change();
    return { changed: changes.length > 0, problem: asError(problems) };
  }

  /** @returns what puts a new SVID into use; undefined when it is the one in use */
  async #readSvid(): Promise<(() => void) | undefined> {
    const { svid: certFile, key: keyFile } = this.#paths;
    const certPem = await readFile(certFile, "utf8");
    const keyPem = await readFile(keyFile, "utf8");
    const text = `${certPem}\n${keyPem}`;
    if (this.#svid?.text === text) return undefined;
    const value = inFile(certFile, () => parseSvid(certPem, keyPem));
    const now = this.#clock.now();
    const { notBeforeMs, notAfterMs } = value;
    if (now >= notAfterMs) throw new TypeError(`${certFile}: it expired at ${isoTime(notAfterMs)}`);
    if (now < notBeforeMs) throw new TypeError(`${certFile}: it is not valid before ${isoTime(notBeforeMs)}`);
    return () => {
      this.#svid = { text, value };
    };
  }

  /** @returns what puts a new bundle into use; undefined when it is the one in use */
  async #readBundle(file: string): Promise<(() => void) | undefined> {
    const text = await readFile(file, "utf8");
    if (this.#bundles.get(file)?.text === text) return undefined;
    const value = inFile(file, () => parseCertificates(text));
    return () => void this.#bundles.set(file, { text, value });
  }
}

function inFile<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TypeError(`${file}: ${messageOf(cause)}`, { cause });
  }
}

function asError(problems: readonly unknown[]): Error | undefined {
  const [first] = problems;
  if (first === undefined) return undefined;
  if (problems.length === 1 && first instanceof Error) return first;
  return new AggregateError(problems, problems.map(messageOf).join("; "));
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
