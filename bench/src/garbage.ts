import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { localFleet } from "@holdfast/demo/local-fleet";
import type { BarResult } from "./bar.ts";

const MIB = 1024 * 1024;
const HUGE_BYTES = 100 * MIB;
/** What one process may need on top of its memory at rest while strangers send to it. */
const GROWTH_LIMIT_MIB = 128;
const ANSWER_TIMEOUT_MS = 10_000;

/** Where an HTTP server would read a body, by what listens there. */
const paths: readonly (readonly [RegExp, string])[] = [
  [/admin/, "/admin/faults"],
  [/probes/, "/readyz"],
  [/API/, "/api/traces"],
  [/OTLP\/HTTP/, "/v1/traces"],
  [/^storefront/, "/checkout"],
  [/^ledger/, "/entries"],
];

/** Sends what a stranger might to every port that the demo's fleet listens on. */
export async function run(): Promise<BarResult> {
  const policy = new URL("../../apps/demo/policy.yaml", import.meta.url);
  const options = { redis: undefined, otlp: undefined, mtls: false, port: 7_600 };
  const fleet = await localFleet(options, policy, { say() {}, progress() {} });
  try {
    const names = [...new Set(fleet.ports.map(({ process }) => process))];
    const before = new Map(names.map((name) => [name, { pid: fleet.pid(name)!, rss: rssMiB(fleet.pid(name)!) }]));
    for (const { pid } of before.values()) resetPeak(pid);
    const outcomes = new Map<string, number>();
    const silent: string[] = [];
    for (const { port, what } of fleet.ports) {
      const path = paths.find(([pattern]) => pattern.test(what))?.[1] ?? "/";
      for (const [kind, chunks] of attacks(path)) {
        const answer = await send(port, chunks);
        const outcome = answer.status
          ? `${kind}: ${answer.status}`
          : answer.closed
            ? `${kind}: connection closed`
            : `${kind}: no answer`;
        if (!answer.status && !answer.closed) silent.push(`${kind} at ${what}`);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
    const growth = names.map((name) => ({ name, mib: peakMiB(before.get(name)!.pid) - before.get(name)!.rss }));
    const worst = growth.reduce((most, one) => (one.mib > most.mib ? one : most));
    const dead = names.filter((name) => fleet.pid(name) !== before.get(name)!.pid);
    const checkout = await fetch(`${fleet.instances[0]!.url}/checkout`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ orderId: "after-the-garbage", amountCents: 1 }),
    });
    const accepted = [...outcomes.keys()].filter((outcome) => / 2\d\d$/.test(outcome));
    return {
      name: "garbage",
      bar: `every port: a clear refusal, growth <= ${GROWTH_LIMIT_MIB} MiB, the process lives`,
      met:
        dead.length === 0 &&
        silent.length === 0 &&
        worst.mib <= GROWTH_LIMIT_MIB &&
        checkout.status === 200 &&
        accepted.length === 0,
      figures: {
        ports: fleet.ports.length,
        "processes that died": dead.join(", ") || "none",
        "left without an answer": silent.join(", ") || "none",
        "largest growth, MiB": worst.mib,
        "grew most": worst.name,
        "a checkout afterwards": checkout.status,
        ...Object.fromEntries([...outcomes].sort(([a], [b]) => a.localeCompare(b))),
      },
    };
  } finally {
    await fleet.close();
  }
}

function* attacks(path: string): Generator<readonly [string, Iterable<Buffer>]> {
  const head = (headers: Readonly<Record<string, string>>): Buffer =>
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n${Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join("")}\r\n`,
    );
  const noise = randomBytes(4 * 1024);
  yield ["random bytes", [randomBytes(64 * 1024)]];
  yield ["endless header", repeat(Buffer.from(`GET ${path} HTTP/1.1\r\nx: `), Buffer.alloc(64 * 1024, "a"), 16)];
  yield [
    "100 MB body, json",
    repeat(
      head({ "content-type": "application/json", "content-length": String(HUGE_BYTES) }),
      Buffer.alloc(MIB, "["),
      100,
    ),
  ];
  yield [
    "100 MB body, chunked protobuf",
    repeat(
      head({ "content-type": "application/x-protobuf", "transfer-encoding": "chunked" }),
      chunk(randomBytes(MIB)),
      100,
    ),
  ];
  yield ["wrong content type", [head({ "content-type": "text/html", "content-length": String(noise.length) }), noise]];
  yield ["no content type", [head({ "content-length": String(noise.length) }), noise]];
  yield [
    "json that is none",
    [head({ "content-type": "application/json", "content-length": String(noise.length) }), noise],
  ];
  yield [
    "gzip that is none",
    [
      head({
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "content-length": String(noise.length),
      }),
      noise,
    ],
  ];
}

function* repeat(first: Buffer, next: Buffer, times: number): Generator<Buffer> {
  yield first;
  for (let i = 0; i < times; i++) yield next;
}

function chunk(data: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")]);
}

interface Answer {
  /** The HTTP status, when an HTTP answer came. */
  status: number | undefined;
  /** Whether the server ended the connection. */
  closed: boolean;
}

/** Sends at the pace at which it is read, and stops at the first answer or when the server closes. */
function send(port: number, chunks: Iterable<Buffer>): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let text = "";
    const settle = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      resolve({ status: status ? Number(status) : undefined, closed });
    };
    const timer = setTimeout(() => settle(false), ANSWER_TIMEOUT_MS);
    const iterator = chunks[Symbol.iterator]();
    const pump = (): void => {
      for (;;) {
        const { done, value } = iterator.next();
        if (done) return;
        if (!socket.write(value)) {
          socket.once("drain", pump);
          return;
        }
      }
    };
    socket.on("connect", pump);
    socket.on("data", (data) => {
      // An HTTP/2 server greets with binary frames before it refuses.
      text += data.toString("latin1");
      if (/^HTTP\/1\.1 \d{3}/.test(text)) settle(false);
    });
    socket.on("error", () => settle(true));
    socket.on("close", () => settle(true));
  });
}

function rssMiB(pid: number): number {
  return statusField(pid, "VmRSS");
}

function peakMiB(pid: number): number {
  return statusField(pid, "VmHWM");
}

/** Linux: the peak starts again from what is resident now (proc(5), clear_refs). */
function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function statusField(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) / 1024;
}
