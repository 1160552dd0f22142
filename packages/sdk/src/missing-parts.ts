import type { LogFields } from "@holdfast/core";

export interface Parts {
  policyNamed: boolean;
  store: "redis" | "sqlite" | "none";
  endpoint: string | null;
}

/** What is not there, and what that costs: the fields of one log line. Undefined when nothing is missing. */
export function missingParts({ policyNamed, store, endpoint }: Parts): LogFields | undefined {
  const missing: Record<string, string> = {};
  if (!policyNamed)
    missing.policy = "HOLDFAST_POLICY is not set: defaults hold, and breakers observe without rejecting";
  if (store === "none")
    missing.store =
      "neither HOLDFAST_REDIS_URL nor HOLDFAST_SQLITE is set: breakers are this instance's own, and nothing can be tuned live";
  if (endpoint === null)
    missing.otlp =
      "OTEL_EXPORTER_OTLP_ENDPOINT is not set: nothing is exported, and a crash is told as JSON lines on standard output";
  return Object.keys(missing).length > 0 ? { missing } : undefined;
}
