import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/**
 * The parts for gRPC, loaded when they are first needed: they need @grpc/grpc-js, which a service without gRPC may not
 * have, and which has to be patched before it is loaded.
 */
export const grpcModules = {
  client: (): typeof import("@holdfast/client/grpc") => require("@holdfast/client/grpc"),
  lifecycle: (): typeof import("@holdfast/lifecycle/grpc") => require("@holdfast/lifecycle/grpc"),
};
