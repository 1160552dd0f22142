export {
  BreakerOpenError,
  type BreakerSnapshot,
  type BreakerState,
  type CircuitBreaker,
  type Transition,
} from "@holdfast/breaker";
export type { SharedCircuit } from "@holdfast/breaker/opossum";
export {
  AttemptTimeoutError,
  attemptsOf,
  createTarget,
  DeadlineExceededError,
  deadlineFromHeaders,
  detach,
  type RunContext,
  type RunOptions,
  remainingDeadlineMs,
  type Target,
  type TargetRequestInit,
  TransportError,
  withDeadline,
} from "@holdfast/client";
export {
  type Clock,
  HoldfastError,
  jsonLogger,
  type LogFields,
  type Logger,
  type LogLevel,
  messageOf,
  parseDuration,
  type Random,
  silentLogger,
  sleep,
  systemClock,
  systemRandom,
} from "@holdfast/core";
export type {
  HealthCheck,
  HealthCheckOptions,
  Lifecycle,
  LifecycleState,
  ServableApp,
  ServeOptions,
  ShutdownHook,
  ShutdownHookOptions,
  ShutdownPhase,
} from "@holdfast/lifecycle";
export { type LivePolicy, loadPolicyFile, type Mode, type Policy, PolicyError, parsePolicy } from "@holdfast/policy";
export type { Telemetry, TelemetryResult } from "@holdfast/telemetry";
export type { Holdfast, OpossumBreaker, ResizablePool, TargetPlace, TunedPool } from "./holdfast.ts";
export type { HoldfastOptions } from "./options.ts";
export { holdfast } from "./start.ts";
