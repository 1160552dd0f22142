import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { type Exporter, grpcCode, UNAVAILABLE } from "./delivery.ts";

/**
 * Replaces an exporter whose receiver became unreachable.
 *
 * grpc-js waits up to two minutes before it tries a lost connection again, and fails every call until then without a
 * look: a receiver that restarts would be missed for longer than its restart took. A fresh exporter connects at once.
 *
 * @param make the nth exporter, from 0. It must differ from the ones before in something that grpc-js compares, or it
 * gets the old connection from the pool.
 */
export class ReconnectingExporter<Batch, Inner extends Exporter<Batch>> implements Exporter<Batch> {
  readonly #make: (nth: number) => Inner;
  #current: Inner;
  #made = 1;
  #closed = false;

  constructor(make: (nth: number) => Inner) {
    this.#make = make;
    this.#current = make(0);
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
        this.#current = this.#make(this.#made++);
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
