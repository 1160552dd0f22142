import { Server, ServerCredentials, type ServerUnaryCall, type StatusObject, type sendUnaryData } from "@grpc/grpc-js";
import {
  type ReceivedLog,
  type ReceivedMetric,
  type ReceivedSpan,
  readLogs,
  readMetrics,
  readSpans,
} from "./received.ts";

export interface OtlpReceiver extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly metrics: ReceivedMetric[];
  readonly logs: ReceivedLog[];
  /** Requests that came, refused ones included. */
  readonly requests: number;
  /** Answers every request with this, until undefined. */
  refuse: Partial<StatusObject> | undefined;
  /** Awaited before a request is answered. */
  hold: Promise<unknown> | undefined;
  /** Resolves as soon as `done` is true; looked at after each request. */
  until(done: () => boolean): Promise<void>;
  close(): Promise<void>;
}

type Call = ServerUnaryCall<Uint8Array, Uint8Array>;

/** A real OTLP/gRPC receiver that keeps what it is sent. */
export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  const waiting = new Set<() => void>();
  const receiver = {
    port,
    url: "",
    spans: [] as ReceivedSpan[],
    metrics: [] as ReceivedMetric[],
    logs: [] as ReceivedLog[],
    requests: 0,
    refuse: undefined as Partial<StatusObject> | undefined,
    hold: undefined as Promise<unknown> | undefined,
    async until(done: () => boolean): Promise<void> {
      while (!done()) await new Promise<void>((resolve) => waiting.add(resolve));
    },
    async close(): Promise<void> {
      await new Promise<void>((resolve) => {
        server.tryShutdown(() => resolve());
        server.forceShutdown();
      });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await receiver.close();
    },
  };
  const answerTo = async (call: Call, answer: sendUnaryData<Uint8Array>, keep: (request: Uint8Array) => void) => {
    receiver.requests++;
    const { refuse } = receiver;
    await receiver.hold;
    if (!refuse) keep(call.request);
    const heard = [...waiting];
    waiting.clear();
    for (const resolve of heard) resolve();
    if (refuse) answer(refuse);
    else answer(null, new Uint8Array());
  };
  const take = (keep: (request: Uint8Array) => void) => (call: Call, answer: sendUnaryData<Uint8Array>) =>
    void answerTo(call, answer, keep);
  const service = (name: string) => ({
    export: {
      path: `/opentelemetry.proto.collector.${name}Service/Export`,
      requestStream: false as const,
      responseStream: false as const,
      requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
      requestDeserialize: (bytes: Buffer): Uint8Array => bytes,
      responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
      responseDeserialize: (bytes: Buffer): Uint8Array => bytes,
    },
  });
  server.addService(service("trace.v1.Trace"), { export: take((bytes) => receiver.spans.push(...readSpans(bytes))) });
  server.addService(service("metrics.v1.Metrics"), {
    export: take((bytes) => receiver.metrics.push(...readMetrics(bytes))),
  });
  server.addService(service("logs.v1.Logs"), { export: take((bytes) => receiver.logs.push(...readLogs(bytes))) });
  receiver.port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  receiver.url = `http://127.0.0.1:${receiver.port}`;
  return receiver;
}
