import type { PolicyProblem } from "./policy-error.ts";

/** A place in the text, counted from 1. */
export interface Position {
  line: number;
  column: number;
}

/** How many problems are kept. A document with more is not a policy with mistakes but something else. */
const MOST_PROBLEMS = 100;

/** Collects what is wrong with a document, so that all of it is told at once. */
export class Problems {
  readonly #list: PolicyProblem[] = [];

  /** Nothing more is kept: who is about to work for a better message may save the work. */
  get full(): boolean {
    return this.#list.length >= MOST_PROBLEMS;
  }

  report(path: string, at: Position, message: string): void {
    if (!this.full) this.#list.push({ path, line: at.line, column: at.column, message });
  }

  /** In the order of the document. */
  sorted(): PolicyProblem[] {
    return this.#list.toSorted((a, b) => a.line - b.line || a.column - b.column);
  }
}

/** The path of a key below another: `a.b`, or `a["b.c"]` where the key is no plain word. */
export function pathTo(parent: string, key: string | number): string {
  if (typeof key === "number") return `${parent}[${key}]`;
  if (!/^[A-Za-z_$][\w$-]*$/.test(key) || key.length > 100) return `${parent}[${shown(key)}]`;
  return parent === "" ? key : `${parent}.${key}`;
}

/** A value of the user's as a message may show it: quoted, escaped, short. */
export function shown(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
