import type { DocumentNode } from "./document.ts";
import { type Problems, pathTo, shown } from "./problems.ts";
import type { Entry } from "./section.ts";
import { suggestion } from "./suggestion.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

/** How one kind of value is written in a document: the one source of its reader, its JSON Schema and its docs. */
export interface Shape<T> {
  /** What would be right, in words: "a duration from 1ms to 1h". */
  readonly accepts: string;
  /** @returns undefined when the node is not of this shape; why not was reported */
  read(node: DocumentNode, path: string, problems: Problems): T | undefined;
  /** The value as a document would write it. */
  write(value: T): unknown;
  jsonSchema(): JsonSchema;
  /** The keys below, where the shape has such. */
  readonly below?: Below | undefined;
}

/** For those who list a document's keys. */
export type Below =
  | { readonly kind: "section"; readonly entries: readonly Entry<unknown, never>[] }
  | { readonly kind: "dictionary"; readonly value: Shape<unknown> };

export function nounOf(node: DocumentNode): string {
  if (node.kind !== "scalar") return `a ${node.kind}`;
  return node.value === null ? "nothing" : shown(node.value);
}

interface ScalarShape<T> {
  accepts: string;
  /** @returns the value, or a Refusal whose words follow the path */
  parse(value: unknown): T | Refusal;
  write(value: T): unknown;
  jsonSchema: JsonSchema;
}

/** Why a value was refused, in words that follow its path. */
export class Refusal {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** A shape of one scalar. */
export function scalar<T>({ accepts, parse, write, jsonSchema }: ScalarShape<T>): Shape<T> {
  return {
    accepts,
    write,
    jsonSchema: () => jsonSchema,
    read(node, path, problems) {
      if (node.kind === "refused") return undefined;
      const result =
        node.kind === "scalar" ? parse(node.value) : new Refusal(`must be ${accepts}, not ${nounOf(node)}`);
      if (!(result instanceof Refusal)) return result;
      problems.report(path, node.at, result.message);
      return undefined;
    },
  };
}

/** One of a few words. */
export function word<const Word extends string>(...words: readonly Word[]): Shape<Word> {
  const accepts = words.length === 1 ? words[0]! : `one of ${words.join(", ")}`;
  return scalar<Word>({
    accepts: words.map((each) => `\`${each}\``).join(", "),
    write: (value) => value,
    jsonSchema: words.length === 1 ? { const: words[0] } : { type: "string", enum: words },
    parse(value) {
      const found = words.find((each) => each === value);
      if (found !== undefined) return found;
      const meant = typeof value === "string" ? suggestion(value, words) : undefined;
      const hint = meant !== undefined && words.length > 1 ? `; did you mean ${meant}?` : "";
      return new Refusal(`must be ${accepts}, not ${value === null ? "nothing" : shown(value)}${hint}`);
    },
  });
}

/** A string that the pattern matches in whole. */
export function text({ accepts, pattern }: { accepts: string; pattern: RegExp }): Shape<string> {
  return scalar<string>({
    accepts,
    write: (value) => value,
    jsonSchema: { type: "string", pattern: pattern.source },
    parse(value) {
      if (typeof value === "string" && pattern.test(value)) return value;
      const quoted = typeof value === "string" || value === null ? "" : " (in quotes it is a text)";
      return new Refusal(`must be ${accepts}, not ${value === null ? "nothing" : shown(value)}${quoted}`);
    },
  });
}

/** A list without repetition. */
export function list<T>(item: Shape<T>, { min, max }: { min: number; max: number }): Shape<readonly T[]> {
  const accepts = `a list of ${min} to ${max}: ${item.accepts}`;
  return {
    accepts,
    write: (values) => values.map((value) => item.write(value)),
    jsonSchema: () => ({ type: "array", items: item.jsonSchema(), minItems: min, maxItems: max, uniqueItems: true }),
    read(node, path, problems) {
      if (node.kind === "refused") return undefined;
      if (node.kind !== "list" || node.items.length < min || node.items.length > max) {
        const found = node.kind === "list" ? `one of ${node.items.length}` : nounOf(node);
        problems.report(path, node.at, `must be ${accepts}; not ${found}`);
        return undefined;
      }
      const seen = new Set<T>();
      let sound = true;
      node.items.forEach((each, index) => {
        const value = item.read(each, pathTo(path, index), problems);
        if (value !== undefined && seen.has(value)) {
          problems.report(pathTo(path, index), each.at, "is in the list twice; remove one");
        }
        if (value === undefined) sound = false;
        else seen.add(value);
      });
      return sound ? [...seen] : undefined;
    },
  };
}
