import type { Format } from "./records.ts";

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
