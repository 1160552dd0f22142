import type { Clock } from "@holdfast/core";

/** How much of a body is read ahead, in bytes: a small answer is done with before anyone asks for it. */
const READ_AHEAD_BYTES = 16_384;

export interface BodyWatch {
  /** Called when all of it was read, or the reader turned away. */
  onEnd(): void;
  /** Called when it broke. @returns what the reader is told */
  onError(error: unknown): unknown;
}

/**
 * The same response with a body that is watched to its end. `url`, `redirected` and `type` are kept, which a copied
 * response would lose.
 */
export function watchBody(response: Response, watch: BodyWatch): Response {
  const { body, status, statusText, headers, url, redirected, type } = response;
  if (!body || status < 200 || status > 599) {
    watch.onEnd();
    return response;
  }
  const watched = watchedStream(body.getReader(), watch);
  // The transport's own class: npm's undici and the global fetch each have theirs.
  const { constructor: TransportResponse } = response as unknown as { constructor: typeof Response };
  return Object.defineProperties(new TransportResponse(watched, { status, statusText, headers }), {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
  });
}

/**
 * Cancels bodies that were dropped unread. undici does so for its own, unless they are being read, which a watched one
 * always is; and where no deadline is enforced, nothing else would ever free the connection.
 */
const dropped = new FinalizationRegistry<ReadableStreamDefaultReader<Uint8Array>>((reader) => {
  reader.cancel().catch(() => {});
});

function watchedStream(reader: ReadableStreamDefaultReader<Uint8Array>, watch: BodyWatch): ReadableStream<Uint8Array> {
  const stream: ReadableStream<Uint8Array> = new ReadableStream(
    {
      type: "bytes",
      async pull(controller) {
        try {
          for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            // A byte stream refuses empty chunks, which a transport may well deliver.
            if (value.byteLength === 0) continue;
            controller.enqueue(value);
            return;
          }
        } catch (error) {
          controller.error(watch.onError(error));
          return;
        }
        watch.onEnd();
        controller.close();
        controller.byobRequest?.respond(0);
      },
      async cancel(reason) {
        watch.onEnd();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: READ_AHEAD_BYTES },
  );
  dropped.register(stream, reader);
  return stream;
}

/** Bodies up to this size are read to their end: cheaper than a new connection to a server in trouble. */
const WORTH_DRAINING_BYTES = 65_536;
const WORTH_DRAINING_MS = 1_000;

/** Lets go of a response that nobody will read, and of its connection too if the body is long or slow. */
export async function discardBody(response: Response, clock: Clock): Promise<void> {
  if (!response.body || response.body.locked) return;
  const reader = response.body.getReader();
  const cancel = (): void => void reader.cancel().catch(() => {});
  const timer = clock.after(WORTH_DRAINING_MS, cancel);
  try {
    for (let read = 0; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      read += value.byteLength;
      if (read > WORTH_DRAINING_BYTES) return cancel();
    }
  } catch {
    // It broke when nobody was interested any more.
  } finally {
    timer.cancel();
  }
}
