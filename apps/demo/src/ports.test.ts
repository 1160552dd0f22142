import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { freePort } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { checkPorts } from "./ports.ts";

it("is content with free ports and leaves them free", async () => {
  const port = await freePort();
  await checkPorts([
    { port, what: "storefront-1", option: "--port" },
    { port: 0, what: "any", option: "--port" },
    { port: 0, what: "any other", option: "--port" },
  ]);
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  server.close();
});

it("names each port that is taken, its use and the option", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const other = await freePort();
  await expect(
    checkPorts([
      { port, what: "OTLP over HTTP", option: "--otlp-http-port" },
      { port: other, what: "storefront-1", option: "--port" },
      { port: other, what: "storefront-2", option: "--port" },
    ]),
  ).rejects.toMatchObject({
    name: "PortTakenError",
    ports: [port, other],
    message: `port ${port} (OTLP over HTTP) is taken: choose another with --otlp-http-port\nport ${other} (storefront-2) is wanted twice: choose another with --port`,
  });
  server.close();
});
