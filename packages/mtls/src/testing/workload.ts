import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IssueOptions, ThrowawayAuthority } from "@holdfast/testkit";
import { openSvidFiles, type X509Source } from "../index.ts";

export const trustDomain = "demo.holdfast.test";

/** A workload of a test: a directory with real SVIDs of a real authority, and the source that follows it. */
export interface Workload extends AsyncDisposable {
  directory: string;
  source: X509Source;
  /** Writes a new SVID and waits until the source has taken it. */
  rotate(options?: IssueOptions): Promise<void>;
}

export async function workload(
  authority: ThrowawayAuthority,
  path: string,
  options: { issue?: IssueOptions; federatedBundles?: Record<string, string> } = {},
): Promise<Workload> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-mtls-"));
  await authority.writeSvid(directory, path, options.issue);
  const source = await openSvidFiles({
    directory,
    pollMs: 50,
    initTimeoutMs: 5_000,
    federatedBundles: options.federatedBundles,
  });
  return {
    directory,
    source,
    async rotate(issue) {
      const { certPem } = await authority.writeSvid(directory, path, issue);
      await changed(source, () => source.svid.certPem === certPem);
    },
    async [Symbol.asyncDispose]() {
      await source.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export function changed(source: X509Source, isDone: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isDone()) return;
      forget();
      resolve();
    };
    const forget = source.onChange(look);
    look();
  });
}
