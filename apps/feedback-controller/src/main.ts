import { messageOf } from "@holdfast/core";
import { helpText, resolveOptions } from "./options.ts";
import { run } from "./run.ts";

try {
  const options = resolveOptions(process.argv.slice(2), process.env);
  if (options === undefined) process.stdout.write(helpText());
  else await run(options);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  // Wrong usage and a failed start are told apart, as sysexits and most commands do.
  process.exitCode = (error as { code?: unknown }).code === "OPTIONS_INVALID" ? 2 : 1;
}
