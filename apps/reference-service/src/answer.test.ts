import { status } from "@grpc/grpc-js";
import { HoldfastError } from "@holdfast/sdk";
import { describe, expect, it } from "vitest";
import { answerTo } from "./answer.ts";
import { InjectedError } from "./faults.ts";
import { InvalidOrderError } from "./order.ts";

describe("what a caller is told of an error", () => {
  it.each([
    [new HoldfastError("BREAKER_OPEN", "breaker ledger is open"), 503],
    [new HoldfastError("DEADLINE_EXCEEDED", "too late"), 504],
    [new HoldfastError("TRANSPORT_FAILED", "refused"), 502],
    [Object.assign(new Error("Breaker is open"), { code: "EOPENBREAKER" }), 503],
    [Object.assign(new Error("Timed out after 3000ms"), { code: "ETIMEDOUT" }), 504],
    [new InvalidOrderError("orderId must be"), 400],
    [new InjectedError("injected error"), 503],
    [Object.assign(new Error(), { code: status.INVALID_ARGUMENT, details: "orderId must be" }), 400],
    [Object.assign(new Error(), { code: status.UNAVAILABLE, details: "no connection" }), 503],
    [Object.assign(new Error(), { code: status.DEADLINE_EXCEEDED, details: "late" }), 504],
    [Object.assign(new Error(), { code: status.INTERNAL, details: "broken" }), 502],
  ])("%s is a %i", (error, expected) => {
    expect(answerTo(error).status).toBe(expected);
  });

  it("tells when to come back where that is known", () => {
    const open = Object.assign(new HoldfastError("BREAKER_OPEN", "breaker ledger is open"), { retryAfterMs: 1_200 });
    expect(answerTo(open)).toEqual({
      status: 503,
      error: "BREAKER_OPEN",
      message: "breaker ledger is open",
      retryAfterMs: 1_200,
    });
  });

  it("looks behind a gRPC status that Holdfast gave", () => {
    const open = Object.assign(new HoldfastError("BREAKER_OPEN", "breaker payments is open"), { retryAfterMs: 300 });
    const error = Object.assign(new Error("14 UNAVAILABLE"), { code: status.UNAVAILABLE, details: "", cause: open });
    expect(answerTo(error)).toMatchObject({ status: 503, error: "BREAKER_OPEN", retryAfterMs: 300 });
  });

  it("says nothing of an error that nobody foresaw", () => {
    for (const error of [new Error("password=hunter2"), "hunter2", undefined, null, { statusCode: 12 }]) {
      const answer = answerTo(error);
      expect(answer.status).toBe(500);
      expect(JSON.stringify(answer)).not.toContain("hunter2");
    }
  });
});
