import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { type Exporter, grpcCode, UNAVAILABLE } from "./delivery.ts";

/**
 * Replaces an exporter whose receiver became unreachable.
 *
 * grpc-js waits up to two minutes before it tries a lost connection again, and fails every call until then without a
 * look: a receiver that was away for 12 s was found 8 s after its return. A fresh exporter connects at once.
 */
export class ReconnectingExporter<Batch, Inner extends Exporter<Batch>> implements Exporter<Batch> {
  readonly #make: () => Inner;
  #current: Inner;
  #closed = false;

  constructor(make: () => Inner) {
    this.#make = make;
    this.#current = make();
  }

  /** The exporter in use. */
  get current(): Inner {
    return this.#current;
  }

  export(batch: Batch, done: (result: ExportResult) => void): void {
    const used = this.#current;
    used.export(batch, (result) => {
      const lost = result.code === ExportResultCode.FAILED && result.error && grpcCode(result.error) === UNAVAILABLE;
      if (lost && used === this.#current && !this.#closed) {
        this.#current = this.#make();
        used.shutdown().catch(() => {});
      }
      done(result);
    });
  }

  async shutdown(): Promise<void> {
    this.#closed = true;
    await this.#current.shutdown();
  }
}
