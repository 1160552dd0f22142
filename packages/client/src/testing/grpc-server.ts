import {
  type Client,
  type ClientOptions,
  credentials,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type StatusObject,
} from "@grpc/grpc-js";

const json = {
  requestSerialize: (value: unknown) => Buffer.from(JSON.stringify(value)),
  requestDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as unknown,
  responseSerialize: (value: unknown) => Buffer.from(JSON.stringify(value)),
  responseDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as unknown,
};

const service: ServiceDefinition = {
  charge: { path: "/test.Payments/Charge", requestStream: false, responseStream: false, ...json },
  watch: { path: "/test.Payments/Watch", requestStream: false, responseStream: true, ...json },
};

const PaymentsClient = makeGenericClientConstructor(service, "Payments");

export interface GrpcServer extends AsyncDisposable {
  readonly address: string;
  readonly calls: Parameters<handleUnaryCall<unknown, unknown>>[0][];
}

/** A real server on a free port. The handler is told the call's number, from 1. */
export async function startGrpcServer(
  charge: (
    call: Parameters<handleUnaryCall<unknown, unknown>>[0],
    reply: Parameters<handleUnaryCall<unknown, unknown>>[1],
    number: number,
  ) => void,
): Promise<GrpcServer> {
  const calls: GrpcServer["calls"] = [];
  const server = new Server();
  const watch: handleServerStreamingCall<unknown, unknown> = (call) => {
    call.write(1);
    call.write(2);
    call.end();
  };
  server.addService(service, {
    charge: ((call, reply) => charge(call, reply, calls.push(call))) satisfies handleUnaryCall<unknown, unknown>,
    watch,
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  const port = await promise;
  return {
    address: `127.0.0.1:${port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

export interface PaymentsClientShape extends Client, Disposable {
  charge: Client["makeUnaryRequest"] extends (...rest: never[]) => infer Call ? (...rest: unknown[]) => Call : never;
  watch(argument: unknown): NodeJS.ReadableStream;
}

/** A client as loadPackageDefinition would make it. */
export function paymentsClient(address: string, options: ClientOptions): PaymentsClientShape {
  const client = new PaymentsClient(address, credentials.createInsecure(), options);
  return Object.assign(client as unknown as PaymentsClientShape, { [Symbol.dispose]: () => client.close() });
}

/** A status to answer with. */
export function refusal(code: number, trailers: Record<string, string> = {}): Partial<StatusObject> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
  return { code, details: `status ${code}`, metadata };
}
