// Server and client of one gRPC service in one process, both under Holdfast.
import * as grpc from "@grpc/grpc-js";
import { holdfast } from "@holdfast/sdk";

const bytes = {
  requestSerialize: (value) => Buffer.from(value),
  requestDeserialize: (value) => value,
  responseSerialize: (value) => Buffer.from(value),
  responseDeserialize: (value) => value,
  requestStream: false,
  responseStream: false,
};
const service = { say: { ...bytes, path: "/test.Echo/Say" } };

const hf = await holdfast({ service: "echo" });
const server = new grpc.Server();
server.addService(service, { say: (call, answer) => answer(null, call.request) });
const { port } = await hf.serveGrpc(server, { address: "127.0.0.1:0" });

const Echo = grpc.makeGenericClientConstructor(service, "Echo");
const client = new Echo(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), hf.grpcClientOptions("echo"));
await new Promise((resolve, reject) => {
  client.say(Buffer.from("hi"), (error) => (error ? reject(error) : resolve()));
});
client.close();
console.log(JSON.stringify({ msg: "called" }));
