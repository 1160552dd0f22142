import { fileURLToPath } from "node:url";
import {
  type ChannelCredentials,
  type ClientOptions,
  type handleUnaryCall,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type Logger, systemClock, withDeadline } from "@holdfast/sdk";
import { answerTo } from "./answer.ts";
import { InjectedError } from "./faults.ts";

// These types say what payments.proto says; proto-loader reads the file itself when the service starts.

export interface ChargeRequest {
  orderId: string;
  amountCents: number;
}

export interface ChargeReply {
  status: "RECORDED" | "DEFERRED";
  entryId: string;
}

interface Loaded {
  holdfast: { reference: { v1: { Payments: ServiceClientConstructor } } };
}

const file = fileURLToPath(new URL("../payments.proto", import.meta.url));
const loaded = loadPackageDefinition(loadSync(file, { longs: Number, enums: String, defaults: true }));
const { Payments } = (loaded as unknown as Loaded).holdfast.reference.v1;

export const paymentsService: ServiceDefinition = Payments.service;

export interface PaymentsClient {
  charge(request: ChargeRequest): Promise<ChargeReply>;
  close(): void;
}

/** A client whose calls are promises. */
export function connectPayments(
  address: string,
  credentials: ChannelCredentials,
  options: ClientOptions,
): PaymentsClient {
  const client = new Payments(address, credentials, {
    ...options,
    // Every instance gets its share of the calls; by default the first that answers gets them all.
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  });
  return {
    charge: (request) =>
      new Promise((resolve, reject) => {
        client.charge!(request, (error: Error | null, reply: ChargeReply) => (error ? reject(error) : resolve(reply)));
      }),
    close: () => client.close(),
  };
}

/** Lets a function be a gRPC method: it runs within the caller's deadline, and what it throws becomes a status. */
export function chargeHandler(
  charge: (request: ChargeRequest) => Promise<ChargeReply>,
  logger: Logger,
): handleUnaryCall<ChargeRequest, ChargeReply> {
  return (call, answer) => {
    const leftMs = Math.max(0, Number(call.getDeadline()) - systemClock.now());
    withDeadline(leftMs, () => charge(call.request)).then(
      (reply) => answer(null, reply),
      (error: unknown) => {
        const { status: httpStatus, message } = answerTo(error);
        const code = GRPC_STATUS[httpStatus] ?? status.INTERNAL;
        if (httpStatus >= 500) logger.warn({ status: status[code], error }, "charge failed");
        const metadata = new Metadata();
        // Nobody above should try again what was tried from here as often as it may be: layers would multiply. Where it is
        // this instance that ails, another may do better.
        if (!(error instanceof InjectedError)) metadata.set("grpc-retry-pushback-ms", "-1");
        answer({ code, details: message, metadata });
      },
    );
  };
}

const GRPC_STATUS: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  409: status.ALREADY_EXISTS,
  502: status.UNAVAILABLE,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};
