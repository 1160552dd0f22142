/** Documents that are accepted, for tests that make bad ones of them. */
export const goodDocuments: readonly string[] = [
  `apiVersion: holdfast.dev/v1alpha1
kind: Policy
namespace: demo              # optional
targets:
  ledger:
    urls: [http://127.0.0.1:7301, http://127.0.0.1:7302]
    mode: enforce
    deadline: 2s
    attemptTimeout: 500ms
    retry: { maxAttempts: 3, baseDelay: 50ms, maxDelay: 1s, budget: 20% , minRetriesPerSecond: 10 }
    breaker: { failureRateThreshold: 50%, minimumCalls: 10, window: 10s, consecutiveFailures: 5, openFor: 2s, maxOpenFor: 30s, halfOpenPermits: 3 }
    pool: { size: 4 }
    tuning:
      mode: apply
      bounds:
        breaker.failureRateThreshold: { min: 20%, max: 80%, maxStep: 10% }
        pool.size: { min: 2, max: 20, maxStep: 4 }
lifecycle: { probePort: 9090, grace: 30s, lameDuck: 5s, livenessStall: 10s, readinessStall: 1s }
telemetry: { metricExportInterval: 10s }
`,
  `---
# shared settings by an alias
kind: Policy
apiVersion: "holdfast.dev/v1alpha1"
targets:
  first:
    url: 'https://first.example:8443/base'
    retry: &patient
      maxAttempts: 5
      baseDelay: 1.5s
      budget: 12.5%
    mode: off
  second:
    retry: *patient
    deadline: 1m
  third: {}
...
`,
  `{
\t"$schema": "./policy.json",
\t"apiVersion": "holdfast.dev/v1alpha1",
\t"kind": "Policy",
\t"targets": {
\t\t"ledger": { "pool": { "size": 40 }, "deadline": "250ms", "retry": { "budget": "0%" } },
\t\t"1.2_3-4": { "mode": "observe" }
\t},
\t"lifecycle": { "grace": "10s" }
}
`,
];
