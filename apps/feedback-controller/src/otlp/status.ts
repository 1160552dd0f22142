import type { Format } from "./records.ts";
import { WireCursor, wireType } from "./wire.ts";

/** The codes of google.rpc.Code that an OTLP receiver answers with. */
export const rpcCode = {
  invalidArgument: 3,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
} as const;

const encoder = new TextEncoder();

/** A google.rpc.Status, which OTLP/HTTP wants as the body of every error, in the request's format. */
export function statusMessage(format: Format, code: number, message: string): Uint8Array {
  if (format === "json") return encoder.encode(JSON.stringify({ code, message }));
  const text = encoder.encode(message);
  return Uint8Array.of(0x08, code, 0x12, ...varint(text.length), ...text);
}

/**
 * A google.rpc.Status whose details hold a RetryInfo: on gRPC (`grpc-status-details-bin`) it says that and when to try
 * again.
 */
export function retryStatus(code: number, message: string, retryAfterSeconds: number): Uint8Array {
  const type = encoder.encode("type.googleapis.com/google.rpc.RetryInfo");
  const duration = [0x08, ...varint(retryAfterSeconds)];
  const retryInfo = [0x0a, duration.length, ...duration];
  const any = [0x0a, type.length, ...type, 0x12, retryInfo.length, ...retryInfo];
  return Uint8Array.of(...statusMessage("protobuf", code, message), 0x1a, ...varint(any.length), ...any);
}

/** An Export*ServiceResponse that says: all of it was taken. */
export function fullSuccess(format: Format): Uint8Array {
  return format === "json" ? encoder.encode("{}") : new Uint8Array(0);
}

/** What a receiver says that it did not take of a request that it otherwise took. Never sent again. */
export interface PartialSuccess {
  rejected: number;
  message: string;
}

/**
 * Reads the partial success of an Export*ServiceResponse: it is the same field for all three signals.
 *
 * @returns no rejections when the answer says none, or is nothing that can be read
 */
export function readPartialSuccess(format: Format, body: Uint8Array): PartialSuccess {
  try {
    return format === "json" ? jsonPartialSuccess(body) : wirePartialSuccess(body);
  } catch {
    return { rejected: 0, message: "" };
  }
}

function jsonPartialSuccess(body: Uint8Array): PartialSuccess {
  const answer = JSON.parse(new TextDecoder().decode(body)) as { partialSuccess?: Record<string, unknown> } | null;
  const { rejectedSpans, rejectedDataPoints, rejectedLogRecords, errorMessage } = answer?.partialSuccess ?? {};
  return {
    rejected: Number(rejectedSpans ?? rejectedDataPoints ?? rejectedLogRecords ?? 0) || 0,
    message: typeof errorMessage === "string" ? errorMessage : "",
  };
}

function wirePartialSuccess(body: Uint8Array): PartialSuccess {
  const wire = new WireCursor(body);
  let partial: PartialSuccess = { rejected: 0, message: "" };
  while (wire.next(body.length)) {
    if (wire.field === 1) partial = readPartial(wire, body.length);
    else wire.skip(body.length);
  }
  return partial;
}

function readPartial(wire: WireCursor, end: number): PartialSuccess {
  const stop = wire.enter(end);
  const partial: PartialSuccess = { rejected: 0, message: "" };
  while (wire.next(stop)) {
    if (wire.field === 1 && wire.type === wireType.varint) partial.rejected = wire.int64();
    else if (wire.field === 2) partial.message = wire.text(stop);
    else wire.skip(stop);
  }
  return partial;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}
