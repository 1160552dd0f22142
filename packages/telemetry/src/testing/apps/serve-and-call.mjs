import { once } from "node:events";
import { nameRoute, tracesItself } from "@holdfast/telemetry";

const bytes = {
  requestSerialize: (value) => Buffer.from(value),
  requestDeserialize: (value) => value,
  responseSerialize: (value) => Buffer.from(value),
  responseDeserialize: (value) => value,
  requestStream: false,
  responseStream: false,
};
const service = { say: { ...bytes, path: "/test.Echo/Say" } };

/** Serves HTTP and gRPC, calls both, and asks a Postgres that is not there. Every call should become a span. */
export async function serveAndCall({ http, get, grpc, pg }) {
  const web = http.createServer((request, response) => {
    if (request.url === "/by-fetch") nameRoute("/:how");
    response.end("hello");
  });
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const { port } = web.address();
  await (await fetch(`http://127.0.0.1:${port}/by-fetch`)).text();
  for (const [path, headers] of [
    ["/by-get", {}],
    ["/probed", { "user-agent": "kube-probe/1.34" }],
  ]) {
    const [response] = await once(get({ port, host: "127.0.0.1", path, headers, agent: false }), "response");
    await once(response.resume(), "end");
  }
  web.closeAllConnections();
  web.close();

  const server = new grpc.Server();
  server.addService(service, { say: (call, answer) => answer(null, call.request) });
  const grpcPort = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const Echo = grpc.makeClientConstructor(service, "Echo");
  const echo = new Echo(`127.0.0.1:${grpcPort}`, grpc.credentials.createInsecure());
  await new Promise((resolve, reject) => {
    echo.say(Buffer.from("hi"), (error) => (error ? reject(error) : resolve()));
  });
  echo.close();
  const marked = tracesItself(
    (options, next) => new grpc.InterceptingCall(next(options)),
    () => true,
  );
  const quiet = new Echo(`127.0.0.1:${grpcPort}`, grpc.credentials.createInsecure(), { interceptors: [marked] });
  await new Promise((resolve, reject) => {
    quiet.say(Buffer.from("hi"), (error) => (error ? reject(error) : resolve()));
  });
  quiet.close();
  server.forceShutdown();

  // Port 1 refuses: the spans end with that error, but they are there.
  const pool = new pg.Pool({ host: "127.0.0.1", port: 1, user: "nobody", database: "none" });
  await pool.query("SELECT 1").catch(() => {});
  await pool.end();
  const client = new pg.Client({ host: "127.0.0.1", port: 1, user: "nobody", database: "none" });
  client.on("error", () => {});
  const queried = client.query("SELECT 2").catch(() => {});
  await client.connect().catch(() => {});
  await queried;
}
