import type { MapNode } from "./document.ts";
import { type Problems, pathTo, shown } from "./problems.ts";
import { type JsonSchema, nounOf, type Shape } from "./shape.ts";
import { suggestion } from "./suggestion.ts";

/** One key of a section: how it is written, what stands in for it, and why. */
export interface Entry<T, Whole> {
  /** The key as the document writes it. */
  readonly key: string;
  readonly shape: Shape<Exclude<T, undefined>>;
  /** The document must give it. Default false. */
  readonly required?: boolean | undefined;
  /** The value of a key that is not given; a function sees the keys declared before it. */
  readonly fallback?: T | ((before: Whole) => T) | undefined;
  /** The default in words, where it is a function's. */
  readonly fallbackText?: string | undefined;
  /** What the key does, with the reason of its default. A sentence of the docs and of the JSON Schema. */
  readonly why: string;
}

/** Every property has its entry, so that a type and its document can't drift apart. */
export type Entries<T> = { readonly [Property in keyof T]-?: Entry<T[Property], T> };

export interface Section<T> extends Shape<T> {
  /** The value of a section that is not there at all. */
  empty(): T;
}

export type ReportKey<T> = (property: keyof T, message: string) => void;

export interface SectionOptions<T> {
  /** Checks that need more than one key; runs when each key is right by itself. */
  check?: ((whole: T, report: ReportKey<T>) => void) | undefined;
}

/** A map with known keys. Unknown ones are refused, each with what was probably meant. */
export function section<T extends object>(entries: Entries<T>, options: SectionOptions<T> = {}): Section<T> {
  const properties = Object.keys(entries) as (keyof T)[];
  const all = properties.map((property) => entries[property] as Entry<unknown, T>);
  const known = new Map(all.map((entry) => [entry.key, entry]));

  const assemble = (read: (property: keyof T, entry: Entry<unknown, T>, before: T) => unknown): T => {
    const whole = {} as T;
    for (const property of properties) {
      const value = read(property, entries[property] as Entry<unknown, T>, whole);
      if (value !== undefined) whole[property] = value as T[keyof T];
    }
    return Object.freeze(whole);
  };

  return {
    accepts: "a map",
    below: { kind: "section", entries: all as unknown as readonly Entry<unknown, never>[] },
    empty: () => assemble((_property, entry, before) => fallbackOf(entry, before)),
    write(whole) {
      const present = properties.filter((property) => whole[property] !== undefined);
      return Object.fromEntries(
        present.map((property) => {
          const entry = entries[property] as Entry<unknown, T>;
          return [entry.key, entry.shape.write(whole[property] as never)];
        }),
      );
    },
    jsonSchema: () => ({
      type: "object",
      additionalProperties: false,
      ...(all.some((entry) => entry.required) && {
        required: all.filter((entry) => entry.required).map((entry) => entry.key),
      }),
      properties: Object.fromEntries(all.map((entry) => [entry.key, entrySchema(entry)])),
    }),
    read(node, path, problems) {
      if (node.kind === "refused") return undefined;
      if (node.kind !== "map") {
        problems.report(path, node.at, `must be a map with keys such as ${someKeys(all)}, not ${nounOf(node)}`);
        return undefined;
      }
      const given = givenKeys(node, path, known, problems);
      let sound = true;
      const whole = assemble((_property, entry, before) => {
        const pair = given.get(entry.key);
        if (!pair) {
          if (entry.required) {
            problems.report(path, node.at, `needs the key ${entry.key}: ${entry.shape.accepts}`);
            sound = false;
          }
          return sound ? fallbackOf(entry, before) : undefined;
        }
        const value = entry.shape.read(pair.value, pathTo(path, entry.key), problems);
        if (value === undefined) sound = false;
        return value;
      });
      if (!sound) return undefined;
      options.check?.(whole, (property, message) => {
        const { key } = entries[property] as Entry<unknown, T>;
        problems.report(pathTo(path, key), (given.get(key) ?? node).at, message);
        sound = false;
      });
      // What contradicts itself would only make its surroundings look wrong too.
      return sound ? whole : undefined;
    },
  };
}

/** A map whose keys are the user's own names. */
export function dictionary<T>(
  value: Shape<T>,
  { name, max, noun }: { name: Shape<string>; max: number; noun: string },
): Shape<ReadonlyMap<string, T>> {
  return {
    accepts: `a map of ${noun}s by name`,
    below: { kind: "dictionary", value: value as Shape<unknown> },
    write: (map) => Object.fromEntries([...map].map(([key, each]) => [key, value.write(each)])),
    jsonSchema: () => ({
      type: "object",
      maxProperties: max,
      propertyNames: name.jsonSchema(),
      additionalProperties: value.jsonSchema(),
    }),
    read(node, path, problems) {
      if (node.kind === "refused") return undefined;
      if (node.kind !== "map") {
        problems.report(path, node.at, `must be a map of ${noun}s by name, not ${nounOf(node)}`);
        return undefined;
      }
      if (node.pairs.length > max) problems.report(path, node.at, `has more than ${max} ${noun}s`);
      const map = new Map<string, T>();
      const seen = new Map<string, MapNode["pairs"][number]>();
      for (const pair of node.pairs.slice(0, max)) {
        if (problems.full) break;
        const below = pathTo(path, pair.key);
        const first = seen.get(pair.key);
        if (first) problems.report(below, pair.at, `is given twice, first in line ${first.at.line}; remove one`);
        seen.set(pair.key, first ?? pair);
        const key = name.read({ kind: "scalar", at: pair.at, value: pair.key }, below, problems);
        const read = value.read(pair.value, below, problems);
        if (key !== undefined && read !== undefined) map.set(key, read);
      }
      return map;
    },
  };
}

function givenKeys(
  node: MapNode,
  path: string,
  known: ReadonlyMap<string, Entry<unknown, never>>,
  problems: Problems,
): Map<string, MapNode["pairs"][number]> {
  const given = new Map<string, MapNode["pairs"][number]>();
  for (const pair of node.pairs) {
    if (problems.full) break;
    const first = given.get(pair.key);
    if (!known.has(pair.key)) {
      problems.report(pathTo(path, pair.key), pair.at, unknownKey(pair.key, [...known.values()]));
    } else if (first) {
      problems.report(pathTo(path, pair.key), pair.at, `is given twice, first in line ${first.at.line}; remove one`);
    } else {
      given.set(pair.key, pair);
    }
  }
  return given;
}

function unknownKey(key: string, entries: readonly Entry<unknown, never>[]): string {
  const below = entries.flatMap((entry) =>
    entry.shape.below?.kind === "section"
      ? entry.shape.below.entries.map((each) => [entry.key, each.key] as const)
      : [],
  );
  const moved = below.find(([, inner]) => inner === key);
  if (moved) return `is unknown here; it belongs below ${moved[0]}`;
  const keys = entries.map((entry) => entry.key);
  const meant = suggestion(key, keys);
  if (meant !== undefined) return `is unknown; did you mean ${shown(meant)}?`;
  const near = suggestion(
    key,
    below.map(([, inner]) => inner),
  );
  const parent = below.find(([, inner]) => inner === near);
  if (parent) return `is unknown; did you mean ${shown(near)} below ${parent[0]}?`;
  return `is unknown; the keys here are ${keys.join(", ")}`;
}

function fallbackOf<Whole>(entry: Entry<unknown, Whole>, before: Whole): unknown {
  return typeof entry.fallback === "function" ? entry.fallback(before) : entry.fallback;
}

function someKeys(entries: readonly Entry<unknown, never>[]): string {
  return entries
    .slice(0, 3)
    .map((entry) => entry.key)
    .join(", ");
}

function entrySchema(entry: Entry<unknown, never>): JsonSchema {
  const { shape, why, fallback, fallbackText } = entry;
  const fixed = fallback !== undefined && typeof fallback !== "function";
  const range = shape.below ? "" : ` Takes ${shape.accepts}.`;
  const standIn = fallbackText !== undefined && !fixed ? ` Default: ${fallbackText}.` : "";
  return {
    description: `${why}${range}${standIn}`,
    ...shape.jsonSchema(),
    ...(fixed && { default: shape.write(fallback as never) }),
  };
}
