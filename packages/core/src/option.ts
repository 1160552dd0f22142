export interface NumberRange {
  min: number;
  /** Default: no upper end. */
  max?: number | undefined;
  /** Only whole numbers. Default false. */
  integer?: boolean | undefined;
}

/**
 * Checks a numeric option and fills in its default.
 *
 * @throws TypeError when the value is not a number, RangeError when it is outside the range; both name option and value
 */
export function numberOption(name: string, value: unknown, fallback: number, range: NumberRange): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || Number.isNaN(value))
    throw new TypeError(`${name} must be a number, not ${show(value)}`);
  const { min, max = Number.POSITIVE_INFINITY, integer = false } = range;
  if (value < min || value > max || (integer && !Number.isInteger(value))) {
    const kind = integer ? "a whole number" : "a number";
    const bounds = max === Number.POSITIVE_INFINITY ? `of ${min} or more` : `from ${min} to ${max}`;
    throw new RangeError(`${name} must be ${kind} ${bounds}, not ${show(value)}`);
  }
  return value;
}

/**
 * Checks an option that is one of a few words and fills in its default.
 *
 * @throws TypeError naming option, value and the words allowed
 */
export function wordOption<const Word extends string>(
  name: string,
  value: unknown,
  fallback: Word,
  words: readonly Word[],
): Word {
  if (value === undefined) return fallback;
  if (!words.includes(value as Word))
    throw new TypeError(`${name} must be one of ${words.map(show).join(", ")}, not ${show(value)}`);
  return value as Word;
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
}
