import { messageOf } from "@holdfast/core";

/** The Collector's component statuses (go.opentelemetry.io/collector/component/componentstatus). */
export type Status =
  | "starting"
  | "ok"
  | "recoverable-error"
  | "permanent-error"
  | "fatal-error"
  | "stopping"
  | "stopped";

/** A part of the controller that /health tells of. */
export class Component {
  readonly name: string;
  #status: Status = "starting";
  #error: string | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get status(): Status {
    return this.#status;
  }

  /** What is wrong, when something is. */
  get error(): string | undefined {
    return this.#error;
  }

  ok(): void {
    if (this.#status === "stopping" || this.#status === "stopped" || this.#status === "permanent-error") return;
    this.#status = "ok";
    this.#error = undefined;
  }

  /** It goes on trying. */
  recoverable(error: unknown): void {
    if (this.#status === "stopping" || this.#status === "stopped" || this.#status === "permanent-error") return;
    this.#status = "recoverable-error";
    this.#error = messageOf(error);
  }

  /** It will not work again until somebody acts; the rest of the controller goes on. */
  permanent(error: unknown): void {
    this.#status = "permanent-error";
    this.#error = messageOf(error);
  }

  stopping(): void {
    this.#status = "stopping";
  }

  stopped(): void {
    this.#status = "stopped";
  }
}
