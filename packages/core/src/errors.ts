export interface HoldfastErrorOptions {
  cause?: unknown;
}

/**
 * Base of every error that Holdfast makes. `code` is a string literal that never changes between versions; the message
 * is for people and may. Programming mistakes (a wrong option) are TypeError or RangeError instead, and an error of the
 * user's own passes through untouched.
 */
export class HoldfastError<Code extends string = string> extends Error {
  override readonly name: string = "HoldfastError";
  readonly code: Code;

  constructor(code: Code, message: string, options: HoldfastErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
  }

  /** True for Holdfast's errors, also those of another copy of the package in this process. */
  static is(value: unknown): value is HoldfastError {
    return value instanceof Error && holdfastErrorBrand in value;
  }
}

const holdfastErrorBrand = Symbol.for("holdfast.error/1");
Object.defineProperty(HoldfastError.prototype, holdfastErrorBrand, { value: true });

/** The message of anything that was thrown, in one line. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) {
    // A refused connection to a name with several addresses is an AggregateError with an empty message.
    if (thrown.message === "" && thrown instanceof AggregateError) return thrown.errors.map(messageOf).join("; ");
    return thrown.message || thrown.name;
  }
  return String(thrown);
}
