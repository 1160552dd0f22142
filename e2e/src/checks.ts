/** Runs named checks, says what came of each, and counts. */
export class Checks {
  #passed = 0;
  #failed = 0;

  /** @param run resolves to what was measured, in words; throws when the claim does not hold */
  async check(claim: string, run: () => Promise<string> | string): Promise<void> {
    try {
      console.log(`ok      ${claim}: ${await run()}`);
      this.#passed++;
    } catch (error) {
      console.log(`FAILED  ${claim}\n        ${(error as Error).message.replaceAll("\n", "\n        ")}`);
      this.#failed++;
    }
  }

  /** One line that a script can read. */
  summary(name: string): string {
    return `${name}: ${this.#passed} passed, ${this.#failed} failed`;
  }

  get failed(): number {
    return this.#failed;
  }
}

/** @throws Error with the message, unless the condition holds */
export function must(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
