/** What an instance is to its platform. */
export type LifecycleState = "starting" | "ready" | "degraded" | "draining" | "stopped" | "crashed";

export type LifecycleEvent =
  | { type: "ready" }
  /** A check changed its mind; `failing`: at least one check fails now. */
  | { type: "checks"; failing: boolean }
  | { type: "shutdown" }
  | { type: "stopped" }
  | { type: "crash" };

/**
 * The state after an event. What makes no sense in a state changes nothing: the way leads from starting over ready and
 * degraded, back and forth, to draining and stopped; crashed is the end from anywhere but stopped.
 */
export function nextState(state: LifecycleState, event: LifecycleEvent): LifecycleState {
  switch (event.type) {
    case "ready":
      return state === "starting" ? "ready" : state;
    case "checks":
      return state === "ready" || state === "degraded" ? (event.failing ? "degraded" : "ready") : state;
    case "shutdown":
      return state === "stopped" || state === "crashed" ? state : "draining";
    case "stopped":
      return state === "crashed" ? state : "stopped";
    case "crash":
      return state === "stopped" ? state : "crashed";
  }
}
