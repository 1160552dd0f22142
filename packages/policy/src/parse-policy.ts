import { readFileSync, statSync } from "node:fs";
import { longestDocumentBytes, readDocument, tooLarge } from "./document.ts";
import type { Policy } from "./policy.ts";
import { PolicyError } from "./policy-error.ts";
import { defaultTarget, type PolicyDocument, policyShape, resolveTarget } from "./policy-shape.ts";
import { Problems } from "./problems.ts";
import type { TargetPolicy } from "./target-policy.ts";

export interface ParsePolicyOptions {
  /** Named in the error's message. */
  file?: string | undefined;
}

/**
 * Reads a policy document, YAML or JSON, of at most 256 KiB.
 *
 * @throws PolicyError with everything that is wrong with it, each problem with its path, line and column
 */
export function parsePolicy(text: string, options: ParsePolicyOptions = {}): Policy {
  const problems = new Problems();
  const root = readDocument(text, problems);
  const document = root && policyShape.read(root, "", problems);
  const found = problems.sorted();
  if (!document || found.length > 0) throw new PolicyError(found, options.file);
  return resolve(document);
}

/**
 * Reads a policy document from a file.
 *
 * @throws PolicyError as parsePolicy does, also when the file is too large or not UTF-8
 * @throws the file system's error when it can't be read
 */
export function loadPolicyFile(path: string): Policy {
  if (statSync(path).size > longestDocumentBytes) throw new PolicyError([tooLarge], path);
  const bytes = readFileSync(path);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new PolicyError([{ path: "", line: 1, column: 1, message: "is not UTF-8; save it as such" }], path);
  }
  return parsePolicy(text, { file: path });
}

/** What holds where there is no document: every default, no target by name. */
export function defaultPolicy(): Policy {
  return resolve(policyShape.empty());
}

function resolve(document: PolicyDocument): Policy {
  const { namespace, lifecycle, telemetry } = document;
  const targets = new Map<string, TargetPolicy>();
  for (const [name, target] of document.targets) targets.set(name, resolveTarget(name, target));
  return Object.freeze({
    namespace,
    targets,
    lifecycle,
    telemetry,
    target: (name: string) => targets.get(name) ?? resolveTarget(name, defaultTarget()),
  });
}
