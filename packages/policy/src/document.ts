import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument } from "yaml";
import type { PolicyProblem } from "./policy-error.ts";
import { type Position, type Problems, pathTo, shown } from "./problems.ts";

/** A document's contents with their places in the text, whatever it was written in. Aliases share their node. */
export type DocumentNode = ScalarNode | MapNode | ListNode | RefusedNode;

export interface ScalarNode {
  kind: "scalar";
  at: Position;
  value: unknown;
}

export interface MapNode {
  kind: "map";
  at: Position;
  pairs: { key: string; at: Position; value: DocumentNode }[];
}

export interface ListNode {
  kind: "list";
  at: Position;
  items: DocumentNode[];
}

/** Something whose problem was reported already: who meets it says nothing more. */
export interface RefusedNode {
  kind: "refused";
  at: Position;
}

/** The longest document that is read, in UTF-8 bytes. Some hundred targets with everything spelled out stay below it. */
export const longestDocumentBytes: number = 256 * 1024;

/** Deeper than any key of a policy by far. */
const DEEPEST_NESTING = 32;

/** Enough to share settings among targets. They are never expanded, so that there is no bomb to defuse. */
const MOST_ALIASES = 1_000;

const START: Position = { line: 1, column: 1 };

export const tooLarge: Readonly<PolicyProblem> = {
  path: "",
  ...START,
  message: `is larger than ${longestDocumentBytes / 1024} KiB, which no policy needs`,
};

/**
 * Reads YAML 1.2, and JSON as the part of it that it is.
 *
 * @returns undefined when the text can't be read as one document; the reason was reported
 */
export function readDocument(text: string, problems: Problems): DocumentNode | undefined {
  // Every character is a byte at least, so the first comparison spares the encoder a document of any size.
  if (text.length > longestDocumentBytes || Buffer.byteLength(text) > longestDocumentBytes) {
    problems.report("", START, tooLarge.message);
    return undefined;
  }
  const lines = new LineCounter();
  const parsed = parse(text, lines, problems);
  if (!parsed) return undefined;
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  if (parsed.errors.length > 0) {
    // What follows the first few is mostly their echo.
    for (const { code, message, pos } of parsed.errors.slice(0, 5)) {
      problems.report("", place(pos[0]), plainWords(code, message));
    }
    return undefined;
  }
  if (parsed.contents === null) {
    problems.report("", START, "is empty; a policy begins with apiVersion and kind");
    return undefined;
  }
  return new TreeBuilder(place, problems).build(parsed.contents, "", 0);
}

function parse(text: string, lines: LineCounter, problems: Problems): Document.Parsed | undefined {
  let parsed: Document.Parsed;
  try {
    // uniqueKeys compares every key with every other one; who walks the tree sees duplicates anyway.
    // And a log level of "silent" would pass over a second document without a word.
    parsed = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: "error" });
  } catch (error) {
    // The composer calls itself for every level of nesting: a document of nothing but brackets exhausts the stack.
    const reason = error instanceof RangeError ? "is nested too deeply" : "can't be read as YAML or JSON";
    problems.report("", START, reason);
    return undefined;
  }
  if (parsed.directives.yaml.explicit && parsed.directives.yaml.version !== "1.2") {
    // YAML 1.1 reads `off` as false and 1:30 as ninety.
    problems.report("", START, "asks for YAML 1.1; remove the %YAML line, policies are YAML 1.2");
    return undefined;
  }
  return parsed;
}

/** The parser's messages are for programmers in a few places. */
function plainWords(code: string, message: string): string {
  if (code === "RESOURCE_EXHAUSTION") return "is nested too deeply";
  if (code === "MULTIPLE_DOCS") return "starts a second document; a policy is one";
  return `can't be read as YAML or JSON: ${message.split("\n", 1)[0]!.slice(0, 200)}`;
}

class TreeBuilder {
  readonly #place: (offset: number) => Position;
  readonly #problems: Problems;
  readonly #anchors = new Map<string, DocumentNode>();
  #aliases = 0;

  constructor(place: (offset: number) => Position, problems: Problems) {
    this.#place = place;
    this.#problems = problems;
  }

  build(node: ParsedNode, path: string, depth: number): DocumentNode {
    const at = this.#place(node.range[0]);
    if (depth > DEEPEST_NESTING) return this.#refuse(path, at, "is nested too deeply");
    if (isAlias(node)) return this.#follow(node.source, path, at);
    if (node.tag !== undefined) {
      return this.#refuse(path, at, `carries the tag ${shown(node.tag)}; a policy has none, remove it`);
    }
    const built = this.#buildTree(node, at, path, depth);
    // An anchor counts from here on: inside its own node it would make a circle.
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, built);
    return built;
  }

  #buildTree(node: ParsedNode, at: Position, path: string, depth: number): DocumentNode {
    if (isScalar(node)) return { kind: "scalar", at, value: node.value };
    if (isSeq(node)) {
      const items = (node.items as ParsedNode[]).map((item, i) => this.build(item, pathTo(path, i), depth + 1));
      return { kind: "list", at, items };
    }
    if (!isMap(node)) return this.#refuse(path, at, "is neither a value, a list nor a map");
    const pairs: MapNode["pairs"] = [];
    for (const pair of node.items as { key: ParsedNode; value: ParsedNode | null }[]) {
      const keyAt = this.#place(pair.key.range[0]);
      const key = this.#key(pair.key);
      if (key === undefined) {
        this.#problems.report(path, keyAt, "has a key that is no text; write it in quotes if it is meant as one");
        continue;
      }
      const value: DocumentNode = pair.value
        ? this.build(pair.value, pathTo(path, key), depth + 1)
        : { kind: "scalar", at: keyAt, value: null };
      pairs.push({ key, at: keyAt, value });
    }
    return { kind: "map", at, pairs };
  }

  #key(node: ParsedNode): string | undefined {
    return isScalar(node) && typeof node.value === "string" && node.tag === undefined ? node.value : undefined;
  }

  #follow(name: string, path: string, at: Position): DocumentNode {
    if (++this.#aliases > MOST_ALIASES) return this.#refuse(path, at, `uses more than ${MOST_ALIASES} aliases`);
    const anchored = this.#anchors.get(name);
    return anchored ?? this.#refuse(path, at, `refers to *${name}, which no anchor before it defines`);
  }

  #refuse(path: string, at: Position, message: string): DocumentNode {
    this.#problems.report(path, at, message);
    return { kind: "refused", at };
  }
}
