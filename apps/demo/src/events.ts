import type { Fleet, FleetLine } from "./fleet.ts";

/** Everything that the fleet logged, kept to ask about the past and to wait for what comes. */
export class Events implements Disposable {
  readonly #lines: FleetLine[] = [];
  readonly #waiting = new Set<(line: FleetLine) => void>();
  readonly #stop: () => void;

  constructor(fleet: Pick<Fleet, "onLine">) {
    this.#stop = fleet.onLine((line) => {
      this.#lines.push(line);
      for (const waiter of this.#waiting) waiter(line);
    });
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  /** All lines with this message, oldest first. */
  all(message: string, matches: (line: FleetLine) => boolean = () => true): FleetLine[] {
    return this.#lines.filter((line) => line.fields.msg === message && matches(line));
  }

  /**
   * Waits until `found` makes something of the lines so far; it is asked again after every line.
   *
   * @returns what it made, or undefined when the time was up
   */
  async until<T>(found: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    const now = found();
    if (now !== undefined) return now;
    return await new Promise((resolve) => {
      const settle = (value: T | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(ask);
        resolve(value);
      };
      const ask = (): void => {
        const value = found();
        if (value !== undefined) settle(value);
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      this.#waiting.add(ask);
    });
  }
}

/** A field of a line as a number; NaN when it is none. */
export function numberField(line: FleetLine, name: string): number {
  return Number(line.fields[name]);
}
