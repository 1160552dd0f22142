import { telemetry } from "./start.mjs";

globalThis.startedBefore = telemetry;
