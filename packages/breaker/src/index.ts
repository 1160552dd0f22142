export { BreakerOpenError } from "./breaker-open-error.ts";
export {
  type BreakerOptions,
  type BreakerScope,
  type BreakerSnapshot,
  CircuitBreaker,
  type ExecuteOptions,
  type Outcome,
} from "./circuit-breaker.ts";
export type { GateCounts } from "./gate.ts";
export { type MemoryStoreOptions, memoryStore } from "./memory-store.ts";
export type { BreakerState, Permit, Rejection } from "./permit.ts";
export { BreakerRegistry, type BreakerRegistryOptions, createBreakers } from "./registry.ts";
export { type BreakerMode, type BreakerSettings, type BreakerSettingsInput, defaultSettings } from "./settings.ts";
export type {
  BreakerIdentity,
  BreakerStore,
  FleetView,
  HeldOpen,
  SyncReply,
  SyncRequest,
  TrialOutcome,
  TrialResult,
} from "./store.ts";
export type { Transition } from "./transition.ts";
