import { status as grpc } from "@grpc/grpc-js";
import { HoldfastError, messageOf } from "@holdfast/sdk";

/** What a caller over HTTP is told of an error. */
export interface Answer {
  status: number;
  error: string;
  message: string;
  /** When asking again makes sense, in milliseconds from now. */
  retryAfterMs?: number | undefined;
}

/** Codes of Holdfast's errors and of opossum's, with the status that tells them best. */
const BY_CODE: Readonly<Record<string, number>> = {
  BREAKER_OPEN: 503,
  EOPENBREAKER: 503,
  DEADLINE_EXCEEDED: 504,
  ATTEMPT_TIMEOUT: 504,
  ETIMEDOUT: 504,
  TRANSPORT_FAILED: 502,
};

const BY_GRPC_STATUS: Readonly<Record<number, number>> = {
  [grpc.INVALID_ARGUMENT]: 400,
  [grpc.ALREADY_EXISTS]: 409,
  [grpc.UNAVAILABLE]: 503,
  [grpc.RESOURCE_EXHAUSTED]: 503,
  [grpc.DEADLINE_EXCEEDED]: 504,
};

/** Turns whatever was thrown into an answer. What nobody foresaw is a 500 that says nothing: it may hold a secret. */
export function answerTo(thrown: unknown): Answer {
  const { cause, code, statusCode, details, retryAfterMs } = (thrown ?? {}) as {
    cause?: unknown;
    code?: unknown;
    statusCode?: unknown;
    details?: unknown;
    retryAfterMs?: unknown;
  };
  // A gRPC client gives a status for everything; what Holdfast itself decided is behind it.
  if (typeof code === "number" && HoldfastError.is(cause)) return answerTo(cause);
  if (typeof code === "number" && typeof details === "string")
    return { status: BY_GRPC_STATUS[code] ?? 502, error: grpc[code] ?? "UNKNOWN", message: details };
  if (typeof code === "string" && code in BY_CODE) {
    const answer = { status: BY_CODE[code]!, error: code, message: messageOf(thrown) };
    return typeof retryAfterMs === "number" ? { ...answer, retryAfterMs } : answer;
  }
  // Fastify's errors and our own say themselves what they are.
  if (typeof statusCode === "number" && statusCode >= 400)
    return { status: statusCode, error: typeof code === "string" ? code : "REFUSED", message: messageOf(thrown) };
  return { status: 500, error: "INTERNAL", message: "the request failed; the service's log says why" };
}
