import {
  InterceptingCall,
  type InterceptingListener,
  type Interceptor,
  type InterceptorOptions,
  Metadata,
  type NextCall,
  status as Status,
  type StatusObject,
} from "@grpc/grpc-js";
import { HoldfastError, messageOf } from "@holdfast/core";
import { attemptsOf } from "./attempt-record.ts";
import { GrpcExchange, type InnerCall, type UnaryAnswer, type UnaryRequest } from "./grpc-exchange.ts";
import type { Pipeline } from "./pipeline.ts";
import { pipelineOf, type Target } from "./target.ts";

export interface GrpcInterceptorOptions {
  /**
   * Which methods may be repeated when nobody knows what the server did (DEADLINE_EXCEEDED, INTERNAL, UNKNOWN), by
   * their path such as `/payments.v1.Payments/Charge`. Default none: only UNAVAILABLE, and RESOURCE_EXHAUSTED when the
   * server names a wait, is retried.
   */
  idempotent?: ((method: string) => boolean) | undefined;
}

/**
 * Puts the unary calls of a @grpc/grpc-js client under a target; streams pass through untouched. Give the client
 * `grpcChannelOptions` too, or grpc-js retries by itself underneath.
 *
 * Callers get what grpc-js gives: a ServiceError. Its `cause` is the BreakerOpenError, DeadlineExceededError or
 * AttemptTimeoutError behind it, when there is one; `attemptsOf(error)` tells what was tried.
 */
export function grpcInterceptor(target: Target, options: GrpcInterceptorOptions = {}): Interceptor {
  const pipeline = pipelineOf(target);
  const { idempotent = () => false } = options;
  return (callOptions, nextCall) => {
    const { requestStream, responseStream, path } = callOptions.method_definition;
    if (requestStream || responseStream || pipeline.settings.mode === "off") {
      return new InterceptingCall(nextCall(callOptions));
    }
    return new InterceptingCall(new UnaryCall(pipeline, callOptions, nextCall, idempotent(path)));
  };
}

/** Collects what the client hands over piece by piece, and sends it once all of it is there. */
class UnaryCall implements InnerCall {
  readonly #pipeline: Pipeline;
  readonly #options: InterceptorOptions;
  readonly #nextCall: NextCall;
  readonly #idempotent: boolean;
  readonly #cancelled = new AbortController();
  #metadata: Metadata = new Metadata();
  #listener: Partial<InterceptingListener> | undefined;
  #messageContext: UnaryRequest["messageContext"] = {};
  #message: unknown;
  #exchange: GrpcExchange | undefined;

  constructor(pipeline: Pipeline, options: InterceptorOptions, nextCall: NextCall, idempotent: boolean) {
    this.#pipeline = pipeline;
    this.#options = options;
    this.#nextCall = nextCall;
    this.#idempotent = idempotent;
  }

  start(metadata: Metadata, listener?: Partial<InterceptingListener>): void {
    this.#metadata = metadata;
    this.#listener = listener;
  }

  sendMessageWithContext(context: UnaryRequest["messageContext"], message: unknown): void {
    this.#messageContext = context;
    this.#message = message;
  }

  sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message);
  }

  /** Of a unary call, grpc-js's innermost one asks for the answer by itself. */
  startRead(): void {}

  halfClose(): void {
    const { clock } = this.#pipeline;
    const request: UnaryRequest = {
      options: this.#options,
      metadata: this.#metadata,
      messageContext: this.#messageContext,
      message: this.#message,
      idempotent: this.#idempotent,
    };
    this.#exchange = new GrpcExchange(request, this.#nextCall, clock);
    const { deadline } = this.#options;
    const deadlineMs = deadline === undefined ? undefined : Number(deadline) - clock.now();
    // The continuations run where the client called, so that neither the caller's context nor its trace is lost to the
    // one in which the connection happened to be made. Out of the promise, because what the caller's callback throws is
    // an uncaught exception of its own.
    this.#pipeline.call(this.#exchange, { signal: this.#cancelled.signal, deadlineMs }).then(
      (answer) => process.nextTick(() => this.#answer(answer)),
      (error: unknown) => process.nextTick(() => this.#fail(error)),
    );
  }

  cancelWithStatus(code: Status, details: string): void {
    this.#cancelled.abort(new Cancellation(code, details));
  }

  getPeer(): string {
    return this.#exchange?.current?.getPeer() ?? "unknown";
  }

  getAuthContext(): ReturnType<InnerCall["getAuthContext"]> {
    return this.#exchange?.current?.getAuthContext() ?? null;
  }

  #answer({ metadata, message, status }: UnaryAnswer): void {
    if (metadata) this.#listener?.onReceiveMetadata?.(metadata);
    this.#listener?.onReceiveMessage?.(message);
    this.#listener?.onReceiveStatus?.(status);
  }

  #fail(error: unknown): void {
    this.#listener?.onReceiveStatus?.(statusOf(error));
  }
}

class Cancellation {
  readonly code: Status;
  readonly details: string;

  constructor(code: Status, details: string) {
    this.code = code;
    this.details = details;
  }
}

/** What a gRPC caller is told of an error that is not a status. grpc-js copies all of it onto the ServiceError. */
function statusOf(error: unknown): StatusObject {
  const metadata = new Metadata();
  if (error instanceof Cancellation) return { code: error.code, details: error.details, metadata };
  const status = { code: codeOf(error), details: messageOf(error), metadata };
  return Object.assign(status, { cause: error, attempts: attemptsOf(error) });
}

function codeOf(error: unknown): Status {
  if (!HoldfastError.is(error)) return Status.UNKNOWN;
  if (error.code === "DEADLINE_EXCEEDED" || error.code === "ATTEMPT_TIMEOUT") return Status.DEADLINE_EXCEEDED;
  return Status.UNAVAILABLE;
}
