import {
  type InterceptorOptions,
  type Metadata,
  type NextCall,
  status as Status,
  type StatusObject,
} from "@grpc/grpc-js";
import type { Clock } from "@holdfast/core";
import type { Attributes, TextMapSetter } from "@opentelemetry/api";
import type { AttemptOutcome, AttemptRecord } from "./attempt-record.ts";
import { injectContext } from "./call-trace.ts";
import { errorName } from "./error-name.ts";
import type { AttemptScope, Exchange, Tail, Verdict } from "./exchange.ts";

/** A call of grpc-js's own, one attempt of ours. */
export type InnerCall = ReturnType<NextCall>;

/** A unary call as its client made it. */
export interface UnaryRequest {
  readonly options: InterceptorOptions;
  readonly metadata: Metadata;
  readonly messageContext: Parameters<InnerCall["sendMessageWithContext"]>[0];
  readonly message: unknown;
  /** Whether the method may be repeated when it is not known what became of it. */
  readonly idempotent: boolean;
}

export interface UnaryAnswer {
  readonly metadata: Metadata | undefined;
  readonly message: unknown;
  readonly status: StatusObject & { attempts?: readonly AttemptRecord[] };
}

const OUTCOMES: Readonly<Partial<Record<Status, AttemptOutcome>>> = {
  [Status.UNAVAILABLE]: "failure",
  [Status.INTERNAL]: "failure",
  [Status.UNKNOWN]: "failure",
  [Status.DATA_LOSS]: "failure",
  [Status.DEADLINE_EXCEEDED]: "timeout",
  [Status.RESOURCE_EXHAUSTED]: "overload",
  [Status.CANCELLED]: "cancelled",
};

/** Statuses after which nobody knows what the server did. */
const UNCLEAR = new Set([Status.DEADLINE_EXCEEDED, Status.INTERNAL, Status.UNKNOWN]);

const metadataSetter: TextMapSetter<Metadata> = { set: (metadata, name, value) => metadata.set(name, value) };

/** One unary gRPC call. Every status is an answer; only what never became a call is an error. */
export class GrpcExchange implements Exchange<UnaryAnswer> {
  readonly repeatable: boolean;
  /** The latest attempt. */
  current: InnerCall | undefined;
  readonly #request: UnaryRequest;
  readonly #nextCall: NextCall;
  readonly #clock: Clock;

  constructor(request: UnaryRequest, nextCall: NextCall, clock: Clock) {
    this.repeatable = request.idempotent;
    this.#request = request;
    this.#nextCall = nextCall;
    this.#clock = clock;
  }

  describe(): { name: string; attributes: Attributes } {
    const name = this.#request.options.method_definition.path.replace(/^\//, "");
    const [service, method] = name.split("/");
    return { name, attributes: { "rpc.system": "grpc", "rpc.service": service, "rpc.method": method } };
  }

  send(scope: AttemptScope): Promise<UnaryAnswer> {
    const { trace } = scope;
    return trace ? trace.suppressed(() => this.#start(scope)) : this.#start(scope);
  }

  #start(scope: AttemptScope): Promise<UnaryAnswer> {
    const { options, messageContext, message } = this.#request;
    return new Promise((resolve) => {
      const outgoing = this.#request.metadata.clone();
      injectContext(scope.trace, outgoing, metadataSetter);
      // gRFC A6: how many attempts came before, for the server's own limits.
      if (scope.attempt > 1) outgoing.set("grpc-previous-rpc-attempts", String(scope.attempt - 1));
      const call = this.#nextCall(scope.limitMs === Number.POSITIVE_INFINITY ? options : this.#withDeadline(scope));
      this.current = call;
      // A turn later: a cancellation in the tick in which the call was sent never reaches the server, which then works
      // on until its grpc-timeout.
      const cancel = (): void =>
        void setImmediate(() => call.cancelWithStatus(Status.CANCELLED, "the attempt was given up"));
      scope.signal.addEventListener("abort", cancel, { once: true });
      let metadata: Metadata | undefined;
      let answer: unknown = null;
      call.start(outgoing, {
        onReceiveMetadata: (received) => {
          metadata = received;
        },
        onReceiveMessage: (received: unknown) => {
          answer = received;
        },
        onReceiveStatus: (status) => {
          scope.signal.removeEventListener("abort", cancel);
          scope.trace?.span.setAttributes({ "rpc.grpc.status_code": status.code, ...peerAttributes(call.getPeer()) });
          resolve({ metadata, message: answer, status });
        },
      });
      call.sendMessageWithContext(messageContext, message);
      call.halfClose();
    });
  }

  /** grpc-js writes grpc-timeout from it. Wall-clock time, because that is what it compares it with. */
  #withDeadline(scope: AttemptScope): InterceptorOptions {
    return { ...this.#request.options, deadline: this.#clock.now() + scope.limitMs };
  }

  judge({ status }: UnaryAnswer): Verdict {
    const { code } = status;
    const detail = Status[code] ?? String(code);
    if (code === Status.OK) return { outcome: "success", detail, retry: false };
    const pushback = readPushback(status.metadata);
    const retry =
      pushback !== "never" &&
      (code === Status.UNAVAILABLE ||
        (code === Status.RESOURCE_EXHAUSTED && pushback !== undefined) ||
        (this.repeatable && UNCLEAR.has(code)));
    return {
      outcome: OUTCOMES[code] ?? "success",
      detail,
      retry,
      pushbackMs: pushback === "never" ? undefined : pushback,
      errorType: detail,
    };
  }

  judgeError(error: unknown): Verdict {
    const detail = errorName(error);
    return { outcome: "rejected", detail, retry: false, errorType: detail };
  }

  errorFor(error: unknown): unknown {
    return error;
  }

  deliver(answer: UnaryAnswer, tail: Tail): UnaryAnswer {
    // grpc-js copies what the status carries onto the ServiceError that the caller gets.
    if (answer.status.code !== Status.OK) answer.status.attempts = tail.attempts;
    tail.end();
    return answer;
  }
}

/**
 * The server's word on retrying (gRFC A6): a wait in milliseconds, or "never" for a negative or unreadable one.
 * Undefined when it says nothing.
 */
function readPushback(metadata: Metadata): number | "never" | undefined {
  const [value] = metadata.get("grpc-retry-pushback-ms");
  if (value === undefined) return undefined;
  return /^\d{1,10}$/.test(String(value)) ? Number(value) : "never";
}

/** grpc-js names a peer as `address:port`, or repeats the channel's target when there is none. */
function peerAttributes(peer: string): Attributes {
  const match = /^(?:[a-z\d]+:\/*)?(.+):(\d+)$/.exec(peer);
  if (!match) return {};
  return { "server.address": match[1], "server.port": Number(match[2]) };
}
