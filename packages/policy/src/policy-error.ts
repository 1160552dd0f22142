import { HoldfastError } from "@holdfast/core";

/** One thing that is wrong with a document. */
export interface PolicyProblem {
  /** The key, such as `targets.ledger.retry.maxAttempts`; empty for the document as a whole. */
  path: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  /** What is wrong and what would be right. */
  message: string;
}

/** How many problems the message lists; `problems` has them all. */
const LISTED_PROBLEMS = 20;

/** A policy document was refused. `problems` has everything that is wrong with it, in the order of the document. */
export class PolicyError extends HoldfastError<"POLICY_INVALID"> {
  override readonly name: string = "PolicyError";
  /** The document's file, when it came from one. */
  readonly file: string | undefined;
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[], file?: string) {
    super("POLICY_INVALID", describe(problems, file));
    this.file = file;
    this.problems = problems;
  }
}

function describe(problems: readonly PolicyProblem[], file = "policy"): string {
  const lines = problems.slice(0, LISTED_PROBLEMS).map(({ path, line, column, message }) => {
    return `${file}:${line}:${column}: ${path === "" ? "" : `${path} `}${message}`;
  });
  const rest = problems.length - lines.length;
  if (rest > 0) lines.push(`and ${rest} more`);
  return lines.join("\n");
}
