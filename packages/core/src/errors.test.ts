import { describe, expect, it } from "vitest";
import { HoldfastError, messageOf } from "./errors.ts";

describe("HoldfastError", () => {
  it("carries its code and its cause", () => {
    const cause = new Error("below");
    const error = new HoldfastError("EXAMPLE", "above", { cause });
    expect(error).toMatchObject({ name: "HoldfastError", code: "EXAMPLE", message: "above", cause });
  });

  it("is known also when it comes from another copy of the package", async () => {
    const copy = (await import(
      /* @vite-ignore */ `${new URL("./errors.ts", import.meta.url).href}?copy`
    )) as typeof import("./errors.ts");
    const foreign = new copy.HoldfastError("EXAMPLE", "from elsewhere");
    expect(foreign).not.toBeInstanceOf(HoldfastError);
    expect(HoldfastError.is(foreign)).toBe(true);
    expect(HoldfastError.is(new Error("EXAMPLE"))).toBe(false);
  });
});

describe("messageOf", () => {
  it("finds words where Node left the message empty", () => {
    const refused = new AggregateError([
      new Error("connect ECONNREFUSED ::1:1"),
      new Error("connect ECONNREFUSED 127.0.0.1:1"),
    ]);
    expect(messageOf(refused)).toBe("connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1");
  });

  it("takes anything that can be thrown", () => {
    expect([messageOf(new TypeError("x")), messageOf("text"), messageOf(undefined), messageOf(null)]).toEqual([
      "x",
      "text",
      "undefined",
      "null",
    ]);
  });
});
