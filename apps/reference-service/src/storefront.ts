import { credentials } from "@grpc/grpc-js";
import { authorizeId } from "@holdfast/mtls";
import { grpcClientCredentials } from "@holdfast/mtls/grpc";
import type { Holdfast } from "@holdfast/sdk";
import { serveAdmin } from "./admin.ts";
import { BreakerJournal } from "./breaker-journal.ts";
import type { StorefrontConfig } from "./config.ts";
import { Faults } from "./faults.ts";
import { readOrder } from "./order.ts";
import { connectPayments } from "./payments-api.ts";
import { webApp } from "./web-app.ts";

/** Takes orders over HTTP and has payments charge for them over gRPC. */
export async function startStorefront(hf: Holdfast, config: StorefrontConfig): Promise<void> {
  const source = hf.identity;
  const payments = connectPayments(
    config.paymentsAddress,
    source
      ? grpcClientCredentials({ source, authorize: authorizeId(`spiffe://${source.svid.id.trustDomain}/payments`) })
      : credentials.createInsecure(),
    // A charge is booked once however often it is sent, so it may be sent again.
    hf.grpcClientOptions("payments", { idempotent: () => true }),
  );
  hf.onShutdown("release", "payments client", () => payments.close());

  const faults = new Faults();
  const journal = new BreakerJournal(hf.log);
  journal.watch(hf.breaker("payments"));
  await serveAdmin(hf, config.admin, faults, journal);

  const app = webApp(hf.log, faults);
  app.post("/checkout", async (request, reply) => {
    const order = readOrder(request.body);
    const { status, entryId } = await payments.charge(order);
    if (status === "RECORDED") return { orderId: order.orderId, status, entryId };
    return reply.code(202).header("retry-after", 5).send({ orderId: order.orderId, status });
  });
  const { port } = await hf.serve(app, config.listen);
  hf.log.info({ port }, "listening");
}
