import type { SpanReference } from "@holdfast/core";
import type { Tunable } from "@holdfast/policy";
import type { Signals } from "./law.ts";
import type { Judgement } from "./verdict.ts";

/**
 * Where a decision stands. `shadow`: only told; `writing`: sent to the store, no answer yet; `refused`: the store did
 * not take it; `written`: waiting for the instances' echo; `confirmed`: running, effect awaited; `judged`: done;
 * `overtaken`: somebody else's write or an expiry came first.
 */
export type DecisionState = "shadow" | "writing" | "refused" | "written" | "confirmed" | "judged" | "overtaken";

/** One decision with its evidence: the audit row. */
export interface Decision {
  id: string;
  /** Milliseconds since the epoch. */
  atMs: number;
  namespace: string;
  service: string;
  target: string;
  knob: Tunable;
  old: number;
  new: number;
  mode: "apply" | "shadow";
  /** Name of the law, or "rollback". */
  law: string;
  /** What kept the value from being another. */
  binding: string;
  reason: string;
  /** What the signals were taken over, in milliseconds, and from how many samples. */
  windowMs: number;
  n: number;
  signals: Signals;
  /** Traces that show it. */
  exemplars: readonly SpanReference[];
  /** The decision's own span. */
  span: SpanReference;
  state: DecisionState;
  /** Of the override that was written. */
  epoch?: number | undefined;
  version?: number | undefined;
  confirmed?: { atMs: number; instances: number; live: number; afterMs: number } | undefined;
  verdict: Judgement["verdict"] | "pending" | "none";
  verdictReason?: string | undefined;
  /** How things stood before the change and after it. */
  before?: Signals | undefined;
  after?: Signals | undefined;
  /** The decision that this one takes back. */
  rollsBack?: string | undefined;
}
