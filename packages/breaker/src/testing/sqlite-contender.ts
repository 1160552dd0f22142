// One of several processes that write to the same store as fast as they can.
import { sqliteStore } from "../sqlite-store.ts";
import { request, testSettings } from "./requests.ts";

const [file, name, count] = process.argv.slice(2);
const settings = { ...testSettings, windowMs: 3_600_000 };
// A store's pauses do not hold the process.
const hold = setInterval(() => {}, 1_000);
await using store = sqliteStore({ file: file! });
let failed = 0;
for (let made = 0; made < Number(count); made++) {
  const asked = request({ domain: name!, instance: name!, settings, nonce: `${name}-${made}`, successes: 1 });
  await store.sync([asked]).catch(() => failed++);
}
clearInterval(hold);
console.log(failed);
