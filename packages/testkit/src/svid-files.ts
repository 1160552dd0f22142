import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock, type Timer } from "@holdfast/core";

export interface SvidFileContents {
  certPem: string;
  keyPem: string;
  bundlePem: string;
}

export interface RotateOptions {
  /** Time between two SVIDs, in milliseconds. */
  everyMs: number;
  clock?: Clock | undefined;
}

export interface Rotation extends AsyncDisposable {
  /** How many SVIDs were written, the first included. */
  readonly count: number;
  /** Why the last write failed; the next is tried in its turn. */
  readonly lastError: unknown;
  /** Stops; a write that has begun is finished first. */
  close(): Promise<void>;
}

/** Writes the three files of spiffe-helper, each under another name first: no reader ever sees half a file. */
export async function writeSvidFiles(directory: string, contents: SvidFileContents): Promise<void> {
  await mkdir(directory, { recursive: true });
  await replace(join(directory, "bundle.pem"), contents.bundlePem, 0o644);
  await replace(join(directory, "svid_key.pem"), contents.keyPem, 0o600);
  await replace(join(directory, "svid.pem"), contents.certPem, 0o644);
}

async function replace(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}

export async function rotateSvid(write: () => Promise<unknown>, options: RotateOptions): Promise<Rotation> {
  const { everyMs, clock = systemClock } = options;
  if (!(everyMs > 0)) throw new RangeError(`everyMs must be a number above 0, not ${everyMs}`);
  await write();
  let count = 1;
  let lastError: unknown;
  let closed = false;
  let writing: Promise<void> = Promise.resolve();
  let timer: Timer;
  const arm = (): void => {
    timer = clock.after(everyMs, () => {
      writing = rotate();
    });
  };
  const rotate = async (): Promise<void> => {
    try {
      await write();
      count++;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (!closed) arm();
  };
  arm();
  const close = async (): Promise<void> => {
    closed = true;
    timer.cancel();
    await writing;
  };
  return {
    get count() {
      return count;
    },
    get lastError() {
      return lastError;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
