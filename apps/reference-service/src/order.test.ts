import { describe, expect, it } from "vitest";
import { InvalidOrderError, readOrder } from "./order.ts";

describe("an order", () => {
  it("is read when it is right", () => {
    expect(readOrder({ orderId: "a-1.b_2", amountCents: 1299 })).toEqual({ orderId: "a-1.b_2", amountCents: 1299 });
  });

  it.each([
    ["nothing", undefined, "JSON object"],
    ["null", null, "JSON object"],
    ["a list", [], "JSON object"],
    ["no id", { amountCents: 1 }, "orderId"],
    ["an id with a space", { orderId: "a b", amountCents: 1 }, "orderId"],
    ["an id of 65 characters", { orderId: "a".repeat(65), amountCents: 1 }, "orderId"],
    ["an id with a line break at its end", { orderId: "a\n", amountCents: 1 }, "orderId"],
    ["no amount", { orderId: "a" }, "amountCents"],
    ["an amount of nothing", { orderId: "a", amountCents: 0 }, "amountCents"],
    ["part of a cent", { orderId: "a", amountCents: 1.5 }, "amountCents"],
    ["an amount written as text", { orderId: "a", amountCents: "12" }, "amountCents"],
    ["an amount beyond the limit", { orderId: "a", amountCents: 100_000_001 }, "amountCents"],
    ["a field that orders do not have", { orderId: "a", amountCents: 1, currency: "EUR" }, '"currency"'],
  ])("is refused when it is %s, saying which field", (_what, sent, field) => {
    expect(() => readOrder(sent)).toThrow(InvalidOrderError);
    expect(() => readOrder(sent)).toThrow(field);
  });
});
