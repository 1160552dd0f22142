// A service that knows nothing of Holdfast.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.url === "/slow") setTimeout(() => response.end("slow"), 300);
  else if (request.url === "/crash") setTimeout(() => response.socket.missing.property, 10);
  else response.end("plain");
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ msg: "listening", port: server.address().port }));
});
