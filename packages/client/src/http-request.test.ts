import { describe, expect, it } from "vitest";
import { readRequest, resolveAddress } from "./http-request.ts";

const one = [new URL("http://ledger:8080")];
const withPath = [new URL("http://ledger:8080/api/")];

describe("an address", () => {
  it.each([
    ["/entries", one, "http://ledger:8080/entries"],
    ["entries", one, "http://ledger:8080/entries"],
    ["/entries?limit=1", withPath, "http://ledger:8080/api/entries?limit=1"],
    ["?limit=1", withPath, "http://ledger:8080/api?limit=1"],
    ["", withPath, "http://ledger:8080/api"],
    ["", one, "http://ledger:8080/"],
    ["http://ledger:8080/other", withPath, "http://ledger:8080/other"],
    ["http://anywhere/path", [], "http://anywhere/path"],
  ])("of %j", (input, bases, address) => {
    expect(resolveAddress(input, bases, 0).href).toBe(address);
  });

  it("never leaves the target, whatever the path says", () => {
    for (const path of ["//evil/steal", "/\\evil/steal", "\\\\evil", "@evil/steal", ":80@evil/", ".evil/steal"]) {
      expect(resolveAddress(path, one, 0).host).toBe("ledger:8080");
    }
    expect(() => resolveAddress("http://evil/steal", one, 0)).toThrow(/http:\/\/evil is none of the target's urls/);
    expect(() => resolveAddress("https://ledger:8080/", one, 0)).toThrow(TypeError);
    expect(() => resolveAddress("javascript:alert(1)", one, 0)).toThrow(TypeError);
  });

  it("takes the bases in turn", () => {
    const bases = [new URL("http://a"), new URL("http://b")];
    expect([0, 1, 2].map((turn) => resolveAddress("/", bases, turn).host)).toEqual(["a", "b", "a"]);
  });

  it("is needed in whole when the target has no urls", () => {
    expect(() => resolveAddress("/entries", [], 0)).toThrow(new TypeError('"/entries" needs the target to have urls'));
    expect(() => resolveAddress("http://", [], 0)).toThrow(new TypeError('"http://" is not an address'));
  });
});

describe("a request", () => {
  it.each(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "put"])("is safe to repeat with %s", (method) => {
    expect(readRequest({ method }).safe).toBe(true);
  });

  it.each(["POST", "PATCH", "CONNECT"])("is not safe to repeat with %s unless it has an Idempotency-Key", (method) => {
    expect(readRequest({ method }).safe).toBe(false);
    expect(readRequest({ method, headers: { "Idempotency-Key": "1" } }).safe).toBe(true);
  });

  it.each([
    ["nothing", null],
    ["text", "x"],
    ["bytes", new Uint8Array(1)],
    ["a buffer", new ArrayBuffer(1)],
    ["a blob", new Blob(["x"])],
    ["a query", new URLSearchParams("a=1")],
    ["a form", new FormData()],
  ])("can be sent again with %s as its body", (_, body) => {
    expect(readRequest({ method: "PUT", body }).replayable).toBe(true);
  });

  it("can be sent once with a stream as its body", () => {
    const { replayable, rest } = readRequest({ method: "PUT", body: new ReadableStream() });
    expect(replayable).toBe(false);
    expect(rest).toMatchObject({ duplex: "half" });
  });

  it("writes json with its content type unless there is one", () => {
    const request = readRequest({ method: "POST", json: { a: 1 } });
    expect(request.body).toBe('{"a":1}');
    expect(request.headers.get("content-type")).toBe("application/json");
    const own = readRequest({ method: "POST", json: null, headers: { "content-type": "application/ld+json" } });
    expect(own.body).toBe("null");
    expect(own.headers.get("content-type")).toBe("application/ld+json");
  });

  it("takes json or a body, not both", () => {
    expect(() => readRequest({ method: "POST", json: 1, body: "1" })).toThrow(TypeError);
    expect(() => readRequest({ method: "POST", json: () => {} })).toThrow(TypeError);
  });
});
