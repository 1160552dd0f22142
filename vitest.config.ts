import { defineConfig } from "vitest/config";

// Tests import the packages' sources: no build is needed, and a stack trace points at the line that was written.
// Vitest hands these to Node as well: "import" or "module" among them would make require() find ES modules in pg.
const conditions = ["@holdfast/source", "node"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "apps/*/src/**/*.test.ts",
      "bench/src/**/*.test.ts",
      "scripts/**/*.test.ts",
      "docs/**/*.test.ts",
    ],
    setupFiles: ["./scripts/assert-node.ts"],
    reporters: ["default", "./scripts/plain-reporter.ts"],
    pool: "forks",
    execArgv: ["--conditions=@holdfast/source"],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts", "apps/*/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/index.ts"],
      reporter: ["text-summary", "html"],
    },
  },
});
