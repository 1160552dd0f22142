import { holdfast } from "@holdfast/sdk";
import Fastify from "fastify";

const hf = await holdfast({ service: "storefront" }); // policy file, Redis and OTLP from the environment
const payments = hf.target("payments", { url: process.env.PAYMENTS_URL }); // deadline, budgeted retries, shared breaker

const app = Fastify();
app.post("/checkout", async (req) => (await payments.fetch("/charge", { method: "POST", json: req.body })).json());

await hf.serve(app, { port: Number(process.env.PORT ?? 8080) }); // readiness, lame duck, drain, flush, exit code
