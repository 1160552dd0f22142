// A service that knows nothing of Holdfast.
const { createServer } = require("node:http");

const server = createServer((_request, response) => response.end("plain"));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ msg: "listening", port: server.address().port }));
});
