/**
 * Channel options of a client whose calls a target retries: grpc-js retries by itself otherwise, outside the budget, and
 * each layer multiplies the load of the other.
 */
export const grpcChannelOptions: { readonly "grpc.enable_retries": 0 } = Object.freeze({ "grpc.enable_retries": 0 });
