import type { Permit, Rejection } from "@holdfast/breaker";
import type { BreakerGate } from "../breaker-gate.ts";

/** A gate that notes what it is told, and is shut by hand. */
export class RecordingGate implements BreakerGate {
  readonly name = "recording";
  readonly told: string[] = [];
  /** How many calls are let through before the gate is shut. */
  admits: number = Number.POSITIVE_INFINITY;

  tryAcquire(): Permit | Rejection {
    if (this.admits <= 0) return { admitted: false, state: "open", sinceMs: 1_000, retryAfterMs: 250 };
    this.admits--;
    return {
      admitted: true,
      succeed: () => void this.told.push("succeed"),
      fail: () => void this.told.push("fail"),
      ignore: () => void this.told.push("ignore"),
    };
  }
}
