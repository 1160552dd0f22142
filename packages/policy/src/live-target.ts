import type { Override, OverrideLayer } from "./override.ts";
import type { TargetPolicy, Tunable } from "./target-policy.ts";

/** A layer that is in force, by its version. The document's epoch is 0; its version counts the documents loaded. */
export interface LayerVersion {
  readonly epoch: number;
  readonly version: number;
}

export interface LiveLayers {
  readonly file: LayerVersion;
  readonly controller?: Override | undefined;
  readonly operator?: Override | undefined;
}

/** An override that this instance did not take, and why. */
export interface RejectedOverride extends LayerVersion {
  readonly layer: OverrideLayer;
  readonly decisionId: string;
  readonly reason: string;
  /** In milliseconds since the epoch. */
  readonly atMs: number;
}

/** What one instance runs for one target: the echo that a controller waits for before it decides again. */
export interface EchoRow {
  target: string;
  /** The layers in force; the document is always one of them. */
  layers: { layer: "file" | OverrideLayer; epoch: number; version: number }[];
  /** Every value that may be tuned, and the layer it comes from. */
  values: { knob: Tunable; value: number; layer: "file" | OverrideLayer }[];
  /** Overrides refused since the start. */
  rejections: number;
}

export type TargetListener = (current: TargetPolicy, before: TargetPolicy) => void;

/** One target's policy as it is at this moment. */
export interface LiveTarget {
  readonly name: string;
  /** Replaced as a whole, never changed: keep it for as long as one call needs one answer. */
  readonly current: TargetPolicy;
  /** What `current` is made of; an override that expired or was deleted is not among it. */
  readonly layers: LiveLayers;
  /** The last override of each layer that was refused, if nothing good came after it. */
  readonly rejected: readonly RejectedOverride[];
  /** Calls the listener whenever `current` was replaced. Returns what takes it back. */
  onChange(listener: TargetListener): () => void;
}
