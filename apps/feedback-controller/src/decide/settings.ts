/** How the decision loop goes about it. Defaults stand in options.ts. */
export interface DecisionSettings {
  /** What signals are taken over, in milliseconds. */
  windowMs: number;
  /** Time between two looks at every edge, in milliseconds. */
  intervalMs: number;
  /** The least time from a change's echo to its verdict, in milliseconds. It grows with the telemetry's delay. */
  cooldownMs: number;
  /** How long an override counts without being renewed, in milliseconds. */
  overrideTtlMs: number;
  /** `max_connections` of the database behind all pools; without it no pool grows. */
  maxConnections: number | undefined;
  /** Nothing is written, whatever the policy says: decisions are only told. */
  shadowOnly: boolean;
  /** Connections of those that are not for pools. */
  reservedConnections: number;
}
