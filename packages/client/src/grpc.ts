export { grpcChannelOptions } from "./grpc-channel-options.ts";
export { type GrpcInterceptorOptions, grpcInterceptor } from "./grpc-interceptor.ts";
