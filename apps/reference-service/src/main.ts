import { fileURLToPath } from "node:url";
import { holdfast } from "@holdfast/sdk";
import { type Config, ConfigError, help, readConfig } from "./config.ts";

let config: Config | "help";
try {
  config = readConfig(process.argv.slice(2), process.env);
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(`Cannot start:\n${error.problems.map((problem) => `  - ${problem}`).join("\n")}\nSee --help.`);
  process.exit(2);
}
if (config === "help") {
  console.log(help);
  process.exit(0);
}

const hf = await holdfast({
  service: config.role,
  policy: process.env.HOLDFAST_POLICY || fileURLToPath(new URL("../policy.yaml", import.meta.url)),
  mtls: "mtlsDir" in config ? config.mtlsDir : undefined,
});

try {
  // Imported only now, so that OpenTelemetry sees http, gRPC and pg being loaded.
  switch (config.role) {
    case "storefront":
      await (await import("./storefront.ts")).startStorefront(hf, config);
      break;
    case "payments":
      await (await import("./payments.ts")).startPayments(hf, config);
      break;
    case "ledger":
      await (await import("./ledger.ts")).startLedger(hf, config);
      break;
  }
} catch (error) {
  // Told to stop before it had started: the shutdown that is under way ends the process.
  if (!hf.lifecycle.signal.aborted) throw error;
}
