// A script: it calls somebody, prints, and returns from main without a word to Holdfast.
import { holdfast } from "@holdfast/sdk";

const hf = await holdfast({ service: "script" });
await hf.target("upstream", { url: process.env.UPSTREAM }).fetch("/");
console.log(JSON.stringify({ msg: "done" }));
