import type { Batch } from "../receive/intake.ts";
import type { Destination } from "./destination.ts";

/** Passes on what was received, byte for byte, to every destination. */
export class Forwarder {
  readonly destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.destinations = destinations;
  }

  offer({ signal, format, encoding, original }: Batch, items: number): void {
    const parcel = { path: `/v1/${signal}`, format, encoding, bytes: original, items };
    for (const destination of this.destinations) destination.offer(parcel);
  }

  /** @param deadlineMs when to give up, in milliseconds from now */
  async close(deadlineMs: number): Promise<void> {
    await Promise.all(this.destinations.map((destination) => destination.close(deadlineMs)));
  }
}
