import type { Override } from "../override.ts";

/** A valid override; expires in the year 2100. */
export function overrideOf(fields: Partial<Override>): Override {
  return {
    epoch: 1,
    version: 1,
    values: { "pool.size": 8 },
    expiresAtMs: Date.UTC(2100, 0, 1),
    author: "test",
    reason: "a test",
    decisionId: "d-1",
    ...fields,
  };
}
