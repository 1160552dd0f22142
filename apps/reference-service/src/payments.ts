import { Server } from "@grpc/grpc-js";
import { authorizeId } from "@holdfast/mtls";
import { listenGrpc } from "@holdfast/mtls/grpc";
import { BreakerOpenError, type Holdfast } from "@holdfast/sdk";
import { metrics } from "@opentelemetry/api";
import { serveAdmin } from "./admin.ts";
import { BreakerJournal } from "./breaker-journal.ts";
import type { PaymentsConfig } from "./config.ts";
import { Faults } from "./faults.ts";
import { refusalOf } from "./ledger-refusal.ts";
import { readOrder } from "./order.ts";
import { type ChargeReply, type ChargeRequest, chargeHandler, paymentsService } from "./payments-api.ts";

/** Charges for orders over gRPC by booking them in the ledger over HTTP, and puts them off while the ledger is down. */
export async function startPayments(hf: Holdfast, config: PaymentsConfig): Promise<void> {
  const ledger = hf.target("ledger", { urls: config.ledgerUrls });
  const deferred = metrics.getMeter("reference-service").createCounter("reference.payments.deferred", {
    description: "Charges that were put off because the ledger's breaker was open",
  });

  const faults = new Faults();
  const journal = new BreakerJournal(hf.log);
  journal.watch(hf.breaker("ledger"));
  await serveAdmin(hf, config.admin, faults, journal);

  async function charge(request: ChargeRequest): Promise<ChargeReply> {
    await faults.inject();
    const order = readOrder(request);
    try {
      const response = await ledger.fetch("/entries", {
        method: "POST",
        // What makes it safe to send again, and the ledger to book it once.
        headers: { "idempotency-key": order.orderId },
        json: order,
      });
      if (!response.ok) throw await refusalOf(response);
      const { entryId } = (await response.json()) as { entryId: string };
      return { status: "RECORDED", entryId };
    } catch (error) {
      // Outside the gate: were it inside, a fallback would look like a success of the ledger.
      if (!(error instanceof BreakerOpenError)) throw error;
      deferred.add(1);
      return { status: "DEFERRED", entryId: "" };
    }
  }

  const server = new Server({ "grpc.max_receive_message_length": 16 * 1024 });
  server.addService(paymentsService, { charge: chargeHandler(charge, hf.log) });
  const { host, port: wanted } = config.listen;
  const port = await listen(hf, server, `${host.includes(":") ? `[${host}]` : host}:${wanted}`);
  hf.log.info({ port }, "listening");
}

/** Plain, or mutual TLS for the storefront alone when this process has an identity. */
async function listen(hf: Holdfast, server: Server, address: string): Promise<number> {
  const source = hf.identity;
  if (!source) return (await hf.serveGrpc(server, { address })).port;
  const authorize = authorizeId(`spiffe://${source.svid.id.trustDomain}/storefront`);
  const listener = await listenGrpc(server, { address, source, authorize, logger: hf.log });
  hf.onShutdown("drain", "payments", async ({ signal }) => {
    await listener.close();
    signal.addEventListener("abort", () => server.forceShutdown());
    await new Promise((resolve) => server.tryShutdown(resolve));
  });
  hf.lifecycle.ready();
  return listener.port;
}
