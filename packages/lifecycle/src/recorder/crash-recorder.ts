import { closeSync, constants, openSync, renameSync, writeSync } from "node:fs";
import type { AttributeValue, LiveSpan, SpanObserver, SpanReference, StoryAttributes } from "@holdfast/core";
import type { DeathException } from "../death-story.ts";
import { LARGEST_SLOT_BYTES, layout, RECORD_MAGIC } from "./record-layout.ts";
import type { RecordedEnd, RecordedException, RecordedIdentity, RecordedShutdown } from "./record-types.ts";
import { SlotWriter } from "./slot-file.ts";

const LONGEST_STACK = 8_192;
const LONGEST_MESSAGE = 1_024;
/** What is left of a long attribute when its span does not fit its slot. */
const SHORT_ATTRIBUTE = 48;

/**
 * The main thread's part of the record: who it is, which spans are open, how it ended. Everything is on the kernel's side
 * when a call returns, so it needs no orderly end.
 */
export class CrashRecorder implements SpanObserver {
  readonly #fd: number;
  readonly #writer: SlotWriter;
  readonly #slotOf = new Map<string, number>();
  readonly #freeSlots: number[] = [];
  #nextSlot = 0;
  #closed = false;
  #lost = 0;
  readonly #onFailure: (error: unknown) => void;

  /**
   * @param onFailure told once, when a write fails: recording is over then, and what was written stays
   * @throws what the file system throws
   */
  constructor(path: string, identity: RecordedIdentity, onFailure: (error: unknown) => void) {
    // Under another name until it says whose it is: a process that starts at the same moment would take it for damaged.
    const unborn = `${path.replace(/\.record$/, "")}.new`;
    this.#fd = openSync(unborn, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW, 0o600);
    this.#writer = new SlotWriter(this.#fd, LARGEST_SLOT_BYTES);
    this.#onFailure = onFailure;
    if (!this.#writer.write(layout.identity, 0, identity)) {
      const { "service.name": name, "service.instance.id": id } = identity.resource;
      this.#writer.write(layout.identity, 0, {
        ...identity,
        resource: { "service.name": name, "service.instance.id": id },
      });
    }
    writeSync(this.#fd, RECORD_MAGIC, 0, RECORD_MAGIC.length, 0);
    renameSync(unborn, path);
  }

  /** Spans that could not be recorded: more were open at once than there are slots, or one was too large. */
  get lostSpans(): number {
    return this.#lost;
  }

  onStart(span: LiveSpan): void {
    if (this.#closed) return;
    const slot = this.#freeSlots.pop() ?? (this.#nextSlot < layout.spans.slots ? this.#nextSlot++ : undefined);
    if (slot === undefined) {
      this.#lost++;
      return;
    }
    this.#attempt(() => {
      if (!this.#writer.write(layout.spans, slot, span) && !this.#writer.write(layout.spans, slot, shortened(span))) {
        this.#freeSlots.push(slot);
        this.#lost++;
        return;
      }
      this.#slotOf.set(span.spanId, slot);
    });
  }

  onEnd(span: SpanReference): void {
    const slot = this.#slotOf.get(span.spanId);
    if (slot === undefined || this.#closed) return;
    this.#slotOf.delete(span.spanId);
    this.#freeSlots.push(slot);
    this.#attempt(() => this.#writer.clear(layout.spans, slot));
  }

  exception(thrown: unknown, details: Pick<RecordedException, "atMs" | "fatal" | "origin" | "span">): void {
    this.#attempt(() => {
      const record: RecordedException = { ...describeException(thrown, details.origin), ...details };
      // Control characters and wide letters take more room than they count.
      if (!this.#writer.write(layout.exception, 0, record)) {
        this.#writer.write(layout.exception, 0, {
          ...record,
          message: record.message.slice(0, LONGEST_MESSAGE / 8),
          stacktrace: record.stacktrace.slice(0, LONGEST_STACK / 8),
        });
      }
    });
  }

  shutdown(progress: RecordedShutdown): void {
    this.#attempt(() => {
      if (this.#writer.writeNext(layout.shutdown, progress)) return;
      this.#writer.writeNext(layout.shutdown, {
        ...progress,
        phases: progress.phases.map((phase) => ({ ...phase, hooks: [] })),
      });
    });
  }

  end(end: RecordedEnd): void {
    this.#attempt(() => this.#writer.write(layout.end, 0, end));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #attempt(write: () => void): void {
    if (this.#closed) return;
    try {
      write();
    } catch (error) {
      // A full disk, a volume that went away: never the application's trouble.
      this.close();
      this.#onFailure(error);
    }
  }
}

function shortened(span: LiveSpan): LiveSpan {
  const attributes: Record<string, AttributeValue | undefined> = {};
  let room = 10;
  for (const [key, value] of Object.entries(span.attributes)) {
    if (room-- === 0) break;
    if (typeof value === "string") attributes[key.slice(0, SHORT_ATTRIBUTE)] = value.slice(0, SHORT_ATTRIBUTE);
    else if (typeof value !== "object") attributes[key.slice(0, SHORT_ATTRIBUTE)] = value;
  }
  return { ...span, name: span.name.slice(0, 100), attributes: attributes satisfies StoryAttributes };
}

/** Names anything that was thrown. Never throws itself, whatever getters and proxies it meets. */
export function describeException(thrown: unknown, origin: DeathException["origin"]): DeathException {
  try {
    if (thrown instanceof Error) {
      return {
        type: String(thrown.name || thrown.constructor?.name || "Error").slice(0, 200),
        message: String(thrown.message).slice(0, LONGEST_MESSAGE),
        stacktrace: withCauses(thrown).slice(0, LONGEST_STACK),
        origin,
      };
    }
    return { type: typeof thrown, message: String(thrown).slice(0, LONGEST_MESSAGE), stacktrace: "", origin };
  } catch {
    return { type: typeof thrown, message: "what was thrown cannot be described", stacktrace: "", origin };
  }
}

function withCauses(error: Error): string {
  let text = String(error.stack ?? "");
  for (let cause = error.cause, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    text += `\nCaused by: ${cause.stack ?? cause.message}`;
  }
  return text;
}
