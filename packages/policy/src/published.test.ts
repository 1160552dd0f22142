import { readFile } from "node:fs/promises";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { formatJson, policyJsonSchema } from "./json-schema.ts";
import { parsePolicy } from "./parse-policy.ts";
import { referenceTable } from "./reference-table.ts";

// `npx vitest run packages/policy -u` writes both anew.
const schemaFile = new URL("../schema/policy-v1alpha1.schema.json", import.meta.url);
const referenceFile = new URL("../../../docs/policy.md", import.meta.url);

describe("what is published of the policy document", () => {
  it("is a JSON Schema that is in step with the parser", async () => {
    await expect(formatJson(policyJsonSchema())).toMatchFileSnapshot(schemaFile.pathname);
  });

  it("is a JSON Schema that a validator accepts", () => {
    expect(() => new Ajv({ strict: true }).compile(policyJsonSchema())).not.toThrow();
  });

  it("is a reference whose table is in step with the parser", async () => {
    const page = await readFile(referenceFile, "utf8");
    const table = /(<!-- keys: written by a test -->\n)[\s\S]*?(\n<!-- end of keys -->)/;
    expect(page).toMatch(table);
    const inStep = page.replace(table, (_all, begin, end) => `${begin}\n${referenceTable()}\n${end}`);
    await expect(inStep).toMatchFileSnapshot(referenceFile.pathname);
  });

  it("is a reference whose examples are documents", async () => {
    const page = await readFile(referenceFile, "utf8");
    const examples = [...page.matchAll(/```(?:yaml|json)\n(.*?)```/gs)].map((match) => match[1]!);
    const whole = examples.filter((example) => example.includes("apiVersion"));
    expect(whole.length).toBeGreaterThanOrEqual(2);
    for (const example of whole) expect(() => parsePolicy(example)).not.toThrow();
  });
});
