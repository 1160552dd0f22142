export { createLifecycle } from "./create-lifecycle.ts";
export type { DeathCause, DeathException, DeathStory } from "./death-story.ts";
export type {
  DrainableServer,
  FastifyLike,
  HealthCheck,
  HealthCheckOptions,
  Lifecycle,
  LifecycleOptions,
  ProbeOptions,
  ServableApp,
  ServeOptions,
  ShutdownHook,
  ShutdownHookContext,
  ShutdownHookOptions,
  ShutdownPhase,
} from "./lifecycle.ts";
export { type LifecycleEvent, type LifecycleState, nextState } from "./lifecycle-state.ts";
