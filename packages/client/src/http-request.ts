import type { TargetRequestInit } from "./target.ts";

type Body = NonNullable<RequestInit["body"]>;

/** A request as every attempt sends it, but for the headers that differ. */
export interface HttpRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body: Body | null;
  /** Whether sending it twice does what sending it once does. */
  readonly safe: boolean;
  /** Whether the body can be sent more than once. */
  readonly replayable: boolean;
  /** What fetch was told beyond that: redirect, cache, credentials. */
  readonly rest: RequestInit;
}

/** Methods that may be repeated: RFC 9110, section 9.2.2, and QUERY, which is safe by its own definition. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"]);

/** @throws TypeError for a request that cannot be made, before anything else happens */
export function readRequest(init: TargetRequestInit): HttpRequest {
  const { json, method = "GET", headers: given, body: givenBody, signal: _, ...rest } = init;
  const headers = new Headers(given);
  let body: Body | null = givenBody ?? null;
  if (json !== undefined) {
    if (body !== null) throw new TypeError("a request takes json or body, not both");
    body = JSON.stringify(json);
    if (body === undefined) throw new TypeError("json must be something that JSON can write");
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
  }
  const replayable = isReplayable(body);
  // fetch upper-cases these itself; PATCH stays as it was written, because its names are case-sensitive.
  const known = method.toUpperCase();
  return {
    method: IDEMPOTENT.has(known) || known === "POST" ? known : method,
    headers,
    body,
    safe: IDEMPOTENT.has(known) || headers.has("idempotency-key"),
    replayable,
    rest: replayable ? rest : { duplex: "half", ...rest },
  };
}

/** Everything that fetch takes as a body but streams and generators, which are gone once they were read. */
function isReplayable(body: Body | null): boolean {
  return (
    body === null ||
    typeof body === "string" ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body) ||
    body instanceof Blob ||
    body instanceof URLSearchParams ||
    body instanceof FormData
  );
}

/**
 * Where an attempt goes. A path is put behind the base's own; a whole address must be on the origin of one of the
 * bases, when there are any: a path that a user made up must not lead the target's calls elsewhere.
 *
 * @throws TypeError for an address that cannot be read, is elsewhere, or is a path when there is no base
 */
export function resolveAddress(input: string | URL, bases: readonly URL[], turn: number): URL {
  const whole = input instanceof URL || /^[a-z][a-z\d+.-]*:/i.test(input) ? URL.parse(String(input)) : undefined;
  if (whole === null) throw new TypeError(`${JSON.stringify(String(input))} is not an address`);
  if (whole) {
    if (bases.length > 0 && !bases.some((base) => base.origin === whole.origin)) {
      throw new TypeError(
        `${whole.origin} is none of the target's urls (${bases.map((base) => base.origin).join(", ")})`,
      );
    }
    return whole;
  }
  const base = bases[turn % bases.length];
  if (!base) throw new TypeError(`${JSON.stringify(input)} needs the target to have urls`);
  const path = String(input);
  const [prefix, separator] = [base.pathname.replace(/\/$/, ""), /^[/?#]/.test(path) || path === "" ? "" : "/"];
  // Not new URL(path, base): that would take "//elsewhere/path" for a host and drop the base's own path.
  return new URL(`${base.origin}${prefix}${separator}${path}`);
}
