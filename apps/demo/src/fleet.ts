/** Line that a process of the fleet logged. */
export interface FleetLine {
  /** Name of the instance, such as "payments-1" or "controller". */
  instance: string;
  /** When this process read it, in milliseconds since the epoch. */
  readAtMs: number;
  fields: Readonly<Record<string, unknown>>;
}

export type Role = "storefront" | "payments" | "ledger";

export interface Instance {
  name: string;
  role: Role;
  /** Where its callers reach it: HTTP for storefront and ledger. Payments speaks gRPC and is not called from here. */
  url: string | undefined;
  probeUrl: string;
  adminUrl: string;
}

/** A store that the story may kill and bring back, because nobody else uses it. */
export interface PrivateStore {
  /** Within how many milliseconds of its return everybody must share through it again. */
  backWithinMs: number;
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, at the same address. Resolves with the moment from which it answered, in milliseconds since the epoch. */
  revive(): Promise<number>;
}

/** What the story is told of: everything is running, here or in containers. */
export interface Fleet {
  instances: readonly Instance[];
  adminToken: string;
  /** Base URL of the controller's API. */
  controllerUrl: string;
  /** How the store is called on the screen. */
  storeName: string;
  privateStore: PrivateStore | undefined;
  /** Jaeger's web address, where there is one. */
  jaegerUrl: string | undefined;
  /** @returns how to stop listening */
  onLine(listener: (line: FleetLine) => void): () => void;
  /** SIGTERM to all services, then to the controller; resolves with their exit codes when all have ended. */
  stopServices(): Promise<Readonly<Record<string, number | null>>>;
  /** Takes away everything that was started. Harmless when called twice. */
  close(): Promise<void>;
}
