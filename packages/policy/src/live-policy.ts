import type { EchoRow, LiveTarget } from "./live-target.ts";
import type { Policy } from "./policy.ts";

/** A policy that follows its overrides while the service runs. */
export interface LivePolicy extends AsyncDisposable {
  /** The document in force. */
  readonly policy: Policy;
  /** Whether the store answered at the last look. False without a store. */
  readonly connected: boolean;
  /** Starts to follow the target's overrides at its first mention; the same object for the same name. */
  target(name: string): LiveTarget;
  /** What this instance runs, for its metrics. */
  echo(): EchoRow[];
  /** Puts another document below the overrides; every target is decided anew. */
  replace(policy: Policy): void;
  /** Stops following. `current` stays what it is. Does not close the store. */
  close(): Promise<void>;
}
