import { type NumberRange, numberOption } from "@holdfast/core";
import type { Override, OverrideId, OverrideLayer } from "./override.ts";
import { isTunable } from "./tunable.ts";

/** Of the stored form. Fields are only ever added; whoever meets a newer number keeps what it had. */
const SCHEMA = 1;

const LONGEST: Readonly<Record<"author" | "reason" | "decisionId" | "signature", number>> = {
  author: 200,
  reason: 2_000,
  decisionId: 200,
  signature: 4_096,
};

const WHOLE = { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true } as const;

/** ECMA-262, section 21.4.1.1. */
const LATEST_DATE_MS = 8.64e15;

/** How long a store keeps what has expired, so that its versions go on counting. Clean-up, never logic. */
export const keptAfterExpiryMs: number = 7 * 24 * 3_600_000;

/**
 * The hash-tagged name of a target's overrides: one slot on a cluster, one pattern in an ACL. What would be taken for
 * punctuation of a key is percent-encoded, so that no two targets share one.
 */
export function overrideScope({ namespace, service, target }: OverrideId): string {
  return `holdfast:{${[namespace, service, target].map(encodePart).join("/")}}:policy`;
}

export function overrideKey(id: OverrideId, layer: OverrideLayer): string {
  return `${overrideScope(id)}:${layer}`;
}

function encodePart(part: string): string {
  // encodeURIComponent throws at half of a surrogate pair.
  return encodeURIComponent(part.toWellFormed());
}

/**
 * The stored form of an override: JSON.
 *
 * @throws TypeError or RangeError naming the field and the value
 */
export function encodeOverride(override: Override): string {
  const { epoch, version, values, expiresAtMs, author, reason, decisionId, deleted, signature } = override;
  requireNumber("override.epoch", epoch, WHOLE);
  requireNumber("override.version", version, { ...WHOLE, min: 1 });
  requireNumber("override.expiresAtMs", expiresAtMs, { min: 0, max: LATEST_DATE_MS });
  for (const [knob, value] of Object.entries(values)) {
    if (!isTunable(knob)) throw new TypeError(`override.values has ${JSON.stringify(knob)}, which can't be tuned`);
    requireNumber(`override.values["${knob}"]`, value, { min: 0, max: Number.MAX_SAFE_INTEGER });
  }
  for (const [field, text] of Object.entries({
    author,
    reason,
    decisionId,
    ...(signature !== undefined && { signature }),
  })) {
    if (typeof text !== "string") throw new TypeError(`override.${field} must be a string, not ${String(text)}`);
    const longest = LONGEST[field as keyof typeof LONGEST];
    if (text.length > longest) throw new RangeError(`override.${field} must be at most ${longest} characters long`);
  }
  const stored = { schema: SCHEMA, epoch, version, values, expiresAtMs, author, reason, decisionId };
  return JSON.stringify({ ...stored, ...(deleted && { deleted }), ...(signature !== undefined && { signature }) });
}

/**
 * Reads a stored override, which anybody with access to the store may have written. Unknown fields and unknown knobs
 * are left out: a newer writer may know more than this reader.
 *
 * @throws RangeError saying what is wrong with it
 */
export function decodeOverride(text: string): Override {
  const stored = parseObject(text);
  const { schema, epoch, version, values, expiresAtMs, author, reason, decisionId, deleted, signature } = stored;
  if (schema !== SCHEMA) throw new RangeError(`its schema is ${JSON.stringify(schema)}, this version reads ${SCHEMA}`);
  if (typeof values !== "object" || values === null) throw new RangeError("it has no values");
  const override: Override = {
    epoch: epoch as number,
    version: version as number,
    values: Object.fromEntries(Object.entries(values).filter(([knob]) => isTunable(knob))),
    expiresAtMs: expiresAtMs as number,
    author: author as string,
    reason: reason as string,
    decisionId: decisionId as string,
    ...(deleted === true && { deleted }),
    ...(typeof signature === "string" && { signature }),
  };
  // What may be written is what may be read.
  encodeOverride(override);
  return override;
}

/** Unlike an option, a field has no default. */
function requireNumber(name: string, value: unknown, range: NumberRange): void {
  numberOption(name, value ?? null, 0, range);
}

function parseObject(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new RangeError("it is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null) throw new RangeError("it is not an object");
  return parsed as Record<string, unknown>;
}
