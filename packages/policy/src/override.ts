import type { Tunable } from "./target-policy.ts";

/** Who may change what the document says, the stronger last. */
export type OverrideLayer = "controller" | "operator";

/** Whose policy is changed. Each calling service has its own overrides of a target. */
export interface OverrideId {
  namespace: string;
  service: string;
  target: string;
}

/** What one layer says about one target, as it is stored. A layer is replaced as a whole, never merged. */
export interface Override {
  /** Term of the writer, a whole number of 0 or more. A writer with a smaller one than the stored is refused. */
  epoch: number;
  /** Counts the layer's writes from 1, tombstones included. */
  version: number;
  /** Shares from 0 to 1, connections: the unit of the knob. */
  values: Partial<Record<Tunable, number>>;
  /** When the values stop to count, in milliseconds since the epoch. */
  expiresAtMs: number;
  author: string;
  reason: string;
  /** Leads to the evidence: the controller's audit row and span. */
  decisionId: string;
  /** A tombstone: the layer has nothing to say any more. A key that is merely lost says nothing of the kind. */
  deleted?: true | undefined;
  /** Reserved for a signature over the other fields. */
  signature?: string | undefined;
}

/** What the layers above the document say about one target. */
export interface Overrides {
  controller?: Override | undefined;
  operator?: Override | undefined;
}
