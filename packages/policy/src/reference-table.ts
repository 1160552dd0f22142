import { policyShape } from "./policy-shape.ts";
import { pathTo } from "./problems.ts";
import type { Entry } from "./section.ts";
import type { Shape } from "./shape.ts";

/** Every key of the document as rows of a Markdown table: what it takes, its default, what it does and why. */
export function referenceTable(): string {
  const rows = below("", policyShape as unknown as Shape<unknown>);
  return ["| Key | Takes | Default | What it does, and why so |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function below(path: string, shape: Shape<unknown>): string[] {
  if (shape.below?.kind === "dictionary") return below(`${path}.<name>`, shape.below.value);
  if (shape.below?.kind !== "section") return [];
  return shape.below.entries.flatMap((entry) => {
    const key = pathTo(path, entry.key);
    const lines = entry.shape.below ? below(key, entry.shape) : [row(key, entry)];
    return entry.shape.below?.kind === "dictionary" ? [row(key, entry), ...lines] : lines;
  });
}

function row(key: string, entry: Entry<unknown, never>): string {
  const { shape, why } = entry;
  return `| ${[`\`${key}\``, shape.accepts, defaultOf(entry), why].map(cell).join(" | ")} |`;
}

function defaultOf({ shape, required, fallback, fallbackText }: Entry<unknown, never>): string {
  if (required) return "must be given";
  if (fallbackText !== undefined) return fallbackText;
  return fallback === undefined || typeof fallback === "function" ? "none" : `\`${shape.write(fallback as never)}\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
