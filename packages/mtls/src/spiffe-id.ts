import { HoldfastError } from "@holdfast/core";

/** A parsed SPIFFE ID. Two IDs are the same when their `uri` is. */
export interface SpiffeId {
  /** Such as "demo.holdfast.test". */
  readonly trustDomain: string;
  /** Empty, or one or more segments, each with its leading slash: "/payments". */
  readonly path: string;
  /** The whole of it: "spiffe://demo.holdfast.test/payments". */
  readonly uri: string;
}

/** What stands where a SPIFFE ID should be is none. */
export class SpiffeIdError extends HoldfastError<"SPIFFE_ID_INVALID"> {
  override readonly name = "SpiffeIdError";

  constructor(text: string, problem: string) {
    super("SPIFFE_ID_INVALID", `${JSON.stringify(text.slice(0, 200))} is not a SPIFFE ID: ${problem}`);
  }
}

const SCHEME = "spiffe://";
const LONGEST_ID = 2_048;
const LONGEST_TRUST_DOMAIN = 255;

/**
 * Reads a SPIFFE ID, character by character as the specification says. Never by way of `new URL()`, which folds "/../",
 * drops tabs and hides an empty query: two different texts would become the same identity.
 *
 * Source: SPIFFE-ID.md, section 2.
 *
 * @throws SpiffeIdError saying which rule the text breaks
 */
export function parseSpiffeId(text: string): SpiffeId {
  const refuse = (problem: string): SpiffeIdError => new SpiffeIdError(text, problem);
  if (text.length > LONGEST_ID) throw refuse(`it is longer than ${LONGEST_ID} bytes`);
  if (!text.startsWith(SCHEME)) throw refuse(`it must begin with "${SCHEME}"`);
  const rest = text.slice(SCHEME.length);
  const slash = rest.indexOf("/");
  const trustDomain = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? "" : rest.slice(slash);
  const problem = problemOfTrustDomain(trustDomain) ?? problemOfPath(path);
  if (problem) throw refuse(problem);
  return Object.freeze({ trustDomain, path, uri: text });
}

/**
 * Reads the name of a trust domain, given as such or as its ID ("spiffe://demo.holdfast.test").
 *
 * @throws SpiffeIdError
 */
export function parseTrustDomain(text: string): string {
  const id = parseSpiffeId(text.startsWith(SCHEME) ? text : SCHEME + text);
  if (id.path !== "") throw new SpiffeIdError(text, "the ID of a trust domain has no path");
  return id.trustDomain;
}

function problemOfTrustDomain(name: string): string | undefined {
  if (name === "") return "its trust domain is empty";
  if (name.length > LONGEST_TRUST_DOMAIN) return `its trust domain is longer than ${LONGEST_TRUST_DOMAIN} bytes`;
  if (!/^[a-z0-9._-]+$/.test(name)) return "a trust domain has only a-z, 0-9, dots, dashes and underscores";
  return undefined;
}

function problemOfPath(path: string): string | undefined {
  if (path === "") return undefined;
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") return "its path has an empty segment or ends in a slash";
    if (segment === "." || segment === "..") return 'its path has a segment "." or ".."';
    if (!/^[A-Za-z0-9._-]+$/.test(segment)) {
      return "a path segment has only letters, digits, dots, dashes and underscores";
    }
  }
  return undefined;
}
