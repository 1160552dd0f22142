import {
  type handleUnaryCall,
  Metadata,
  ResponderBuilder,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { messageOf } from "@holdfast/core";
import { listenError } from "../listen.ts";
import { retryStatus, rpcCode } from "../otlp/index.ts";
import type { ReceiverOptions } from "./http-receiver.ts";
import { type Signal, signals } from "./intake.ts";

const SERVICES: Readonly<Record<Signal, string>> = {
  traces: "opentelemetry.proto.collector.trace.v1.TraceService",
  metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
  logs: "opentelemetry.proto.collector.logs.v1.LogsService",
};

/**
 * What a call counts as until its message is here: grpc-js decompresses before a handler sees anything, and says no size
 * before. Exporters send a few hundred kilobytes.
 */
const ASSUMED_BYTES = 1024 * 1024;
const RETRY_AFTER_S = 1;

const nothing = Buffer.alloc(0);
const bytes = (message: Buffer): Buffer => message;

/** Receives OTLP/gRPC. Messages stay bytes: what is passed on is what came. */
export class GrpcReceiver {
  readonly server: Server;
  readonly #options: ReceiverOptions;
  #port = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.server = new Server({
      interceptors: [this.#gate()],
      // grpc-js holds a message to this before and after decompression, and answers RESOURCE_EXHAUSTED.
      "grpc.max_receive_message_length": options.maxBodyBytes,
      "grpc.max_concurrent_streams": 64,
    });
    for (const signal of signals) this.server.addService(definition(signal), { export: this.#export(signal) });
  }

  get port(): number {
    return this.#port;
  }

  /** @throws HoldfastError PORT_TAKEN */
  async start(): Promise<void> {
    const { host, port } = this.#options;
    const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    this.#port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(listenError(error, { host, port, option: "--otlp-grpc-port" }));
      });
    });
  }

  /** Lets calls in flight end, for `graceMs` at most. */
  async close(graceMs = 2_000): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.server.forceShutdown(), graceMs);
      timer.unref();
      this.server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #export(signal: Signal): handleUnaryCall<Buffer, Buffer> {
    const { intake, logger } = this.#options;
    return ({ request }, callback) => {
      try {
        intake.accept({ signal, format: "protobuf", body: request, original: request, encoding: undefined });
        callback(null, nothing);
      } catch (error) {
        if (error instanceof RangeError) {
          intake.refused.malformed++;
          callback({ code: status.INVALID_ARGUMENT, details: error.message });
          return;
        }
        logger.error({ error: messageOf(error) }, "a request could not be handled");
        callback({ code: status.UNAVAILABLE, details: "the receiver failed" });
      }
    };
  }

  /** Refuses a call at its headers when there is no room, which is before its message is decompressed. */
  #gate(): ServerInterceptor {
    const { gate, intake } = this.#options;
    return (_method, call) => {
      let taken = 0;
      const giveBack = (): void => {
        gate.give(taken);
        taken = 0;
      };
      const listener = new ServerListenerBuilder()
        .withOnReceiveMetadata((metadata, next) => {
          const reason = gate.take(ASSUMED_BYTES);
          if (reason === undefined) {
            taken = ASSUMED_BYTES;
            next(metadata);
            return;
          }
          intake.refused.busy++;
          const details = new Metadata();
          details.set("grpc-status-details-bin", Buffer.from(retryStatus(rpcCode.unavailable, reason, RETRY_AFTER_S)));
          call.sendStatus({ code: status.UNAVAILABLE, details: reason, metadata: details });
        })
        .withOnCancel(giveBack)
        .build();
      const responder = new ResponderBuilder()
        .withStart((next) => next(listener))
        .withSendStatus((partial, next) => {
          giveBack();
          next(partial);
        })
        .build();
      return new ServerInterceptingCall(call, responder);
    };
  }
}

function definition(signal: Signal): ServiceDefinition {
  return {
    export: {
      path: `/${SERVICES[signal]}/Export`,
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  };
}
