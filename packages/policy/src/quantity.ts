import { formatDuration, parseDuration } from "@holdfast/core";
import { shown } from "./problems.ts";
import { Refusal, type Shape, scalar } from "./shape.ts";

export interface QuantityRange {
  readonly min: number;
  readonly max: number;
}

/** A shape whose value is a number with a range, in the unit that a resolved policy uses. */
export interface Quantity extends Shape<number>, QuantityRange {
  /** The value as a document would write it: "50%", "2s", "4". */
  format(value: number): string;
  /** @returns why the number would be refused; undefined when it would not */
  check(value: number): string | undefined;
}

interface QuantityOptions extends QuantityRange {
  noun: string;
  /** Only whole numbers, in the unit of the value. */
  integer?: boolean | undefined;
  format: (value: number) => string;
  write: (value: number) => unknown;
  parse: (value: unknown, accepts: string) => number | Refusal;
  jsonSchema: { readonly [keyword: string]: unknown };
}

function quantity(options: QuantityOptions): Quantity {
  const { noun, min, max, integer = false, format, parse, write, jsonSchema } = options;
  const accepts = `a ${noun} from ${format(min)} to ${format(max)}`;
  const check = (value: number): string | undefined =>
    Number.isFinite(value) && value >= min && value <= max && (!integer || Number.isInteger(value))
      ? undefined
      : `must be ${accepts}, not ${format(value)}`;
  const shape = scalar<number>({
    accepts,
    write,
    jsonSchema,
    parse(given) {
      const value = parse(given, accepts);
      if (value instanceof Refusal) return value;
      const refused = check(value);
      return refused === undefined ? value : new Refusal(refused);
    },
  });
  return { ...shape, min, max, format, check };
}

/** Finer than any timer; takes away what multiplying decimals by powers of ten leaves behind. */
const roundedMs = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/** A number with a unit of ms, s, m or h. In milliseconds. */
export function duration(range: QuantityRange): Quantity {
  return quantity({
    ...range,
    noun: "duration",
    format: formatDuration,
    write: formatDuration,
    // The unit is part of the value: nobody can know whether 30 means seconds or milliseconds.
    jsonSchema: { type: "string", pattern: "^\\d+(\\.\\d+)?(ms|s|m|h)$" },
    parse(value, accepts) {
      if (typeof value === "number" && value >= 0 && Number.isFinite(value)) {
        return new Refusal(`must be ${accepts}: ${value} has no unit, write "${value}ms" or "${value}s"`);
      }
      // The length first: a message repeats what was given.
      if (typeof value !== "string" || value.length > 30) return new Refusal(`must be ${accepts}, not ${word(value)}`);
      try {
        return roundedMs(parseDuration(value));
      } catch {
        return new Refusal(
          `must be ${accepts}, not ${word(value)}: write a number and a unit, such as "250ms", "1.5s", "2m" or "1h"`,
        );
      }
    },
  });
}

/** A number of 0 or more with a percent sign. As a share: 20% is 0.2. */
export function percentage(range: QuantityRange): Quantity {
  const format = (share: number): string => `${Number((share * 100).toPrecision(12))}%`;
  return quantity({
    ...range,
    noun: "percentage",
    format,
    write: format,
    jsonSchema: { type: "string", pattern: "^\\d+(\\.\\d+)?%$" },
    parse(value, accepts) {
      if (typeof value === "number" && value >= 0 && Number.isFinite(value)) {
        const meant = value > 0 && value < 1 ? format(value) : `${value}%`;
        return new Refusal(`must be ${accepts}: ${value} has no percent sign, write "${meant}"`);
      }
      if (typeof value === "string" && value.length <= 30 && /^\d+(\.\d+)?%$/.test(value)) {
        return Number(value.slice(0, -1)) / 100;
      }
      return new Refusal(`must be ${accepts}, not ${word(value)}: write a number and a percent sign, such as "20%"`);
    },
  });
}

/** A whole number. */
export function count(range: QuantityRange): Quantity {
  return quantity({
    ...range,
    noun: "whole number",
    integer: true,
    format: String,
    write: (value) => value,
    jsonSchema: { type: "integer", minimum: range.min, maximum: range.max },
    parse(value, accepts) {
      if (typeof value === "number") return value;
      const quoted = typeof value === "string" && /^\d{1,9}$/.test(value) ? ": remove the quotes" : "";
      return new Refusal(`must be ${accepts}, not ${word(value)}${quoted}`);
    },
  });
}

function word(value: unknown): string {
  return value === null ? "nothing" : shown(value);
}
