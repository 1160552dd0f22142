import type { Fleet, Instance } from "./fleet.ts";

/** What may be switched on at an instance; see the reference service's README. */
export interface Faults {
  latencyMs?: number;
  errorRate?: number;
  blockMs?: number;
  crash?: true;
  exhaustPool?: number;
  /** The fault ends by itself after this many milliseconds. */
  ttlMs?: number;
}

/** Talks to the admin endpoints of the instances, as an operator would. */
export class Admin {
  readonly #fleet: Pick<Fleet, "adminToken">;

  constructor(fleet: Pick<Fleet, "adminToken">) {
    this.#fleet = fleet;
  }

  async inject(instance: Instance, faults: Faults): Promise<void> {
    await this.#ask(instance, "POST", "/admin/faults", faults);
  }

  async heal(instance: Instance): Promise<void> {
    await this.#ask(instance, "DELETE", "/admin/faults");
  }

  async status<T>(instance: Instance): Promise<T> {
    return (await this.#ask(instance, "GET", "/admin/status")) as T;
  }

  async #ask(instance: Instance, method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${instance.adminUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#fleet.adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(5_000),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`${instance.name} answered ${method} ${path} with ${response.status}: ${text.slice(0, 200)}`);
    return text === "" ? undefined : JSON.parse(text);
  }
}
