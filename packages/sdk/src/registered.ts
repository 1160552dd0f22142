import { processGlobal } from "@holdfast/core";
import type { Holdfast } from "./holdfast.ts";

/** What `--import @holdfast/sdk/register` started, if it did: null inside once that failed. */
export const registered: { current: Promise<Holdfast | null> | undefined } = processGlobal("registered", 1, () => ({
  current: undefined,
}));
