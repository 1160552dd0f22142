import type { Reporter, TestModule } from "vitest/node";

/** Closes a run with one line that a script can read, whatever Vitest's own summary looks like. */
export default class PlainReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandled.length;
    for (const module of modules) {
      if (!module.ok() && [...module.children.allTests("failed")].length === 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed++;
        if (state === "failed") failed++;
      }
    }
    console.log(`tests: ${passed} passed, ${failed} failed`);
  }
}
