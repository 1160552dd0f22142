import { policyShape } from "./policy-shape.ts";
import type { JsonSchema } from "./shape.ts";

/** The document's format as JSON Schema, for editors. What spans several keys only the parser knows. */
export function policyJsonSchema(): JsonSchema {
  return {
    // The dialect that editors' YAML support knows best.
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: "https://holdfast.dev/schema/policy-v1alpha1.json",
    title: "Holdfast policy",
    description: "Deadlines, retries, breakers, pools and what may be tuned, for the targets that a service calls.",
    ...policyShape.jsonSchema(),
  };
}

/** JSON as the formatter of this repository leaves it: short lists of plain values in one line. */
export function formatJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/\[\s+([^[\]{}]*?)\s+\]/g, (list, items: string) => {
    const line = `[${items.replace(/\s*\n\s*/g, " ")}]`;
    return line.length <= 80 ? line : list;
  })}\n`;
}
