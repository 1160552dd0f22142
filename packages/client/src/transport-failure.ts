/** Errors of a connection that never came to be: whatever was to be sent was not. */
const BEFORE_CONNECTION = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** The word for a transport's failure, such as "ECONNREFUSED", from wherever in the chain of causes it stands; "" without one. */
export function transportReason(error: unknown): string {
  for (const link of chain(error)) {
    const { code } = link as { code?: unknown };
    if (typeof code === "string" && code !== "") return code;
  }
  return "";
}

/**
 * Whether the failure is one of connecting, so that not a byte of the request was sent and any method may be repeated.
 * A name with several addresses fails with one error for each: all of them must be such.
 */
export function neverSent(error: unknown): boolean {
  for (const link of chain(error)) {
    if (link instanceof AggregateError && link.errors.length > 0) return link.errors.every(neverSent);
    const { code, syscall } = link as { code?: unknown; syscall?: unknown };
    if (syscall === "connect" || syscall === "getaddrinfo") return true;
    if (typeof code === "string" && code !== "") return BEFORE_CONNECTION.has(code);
  }
  return false;
}

/** An error and its causes; a cause that leads back to where it came from ends the walk. */
function* chain(error: unknown): Generator<Error> {
  let link = error;
  for (let depth = 0; depth < 8 && link instanceof Error; depth++) {
    yield link;
    link = link.cause;
  }
}
