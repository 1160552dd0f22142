export { type ShareCircuitOptions, type SharedCircuit, shareCircuit } from "./share-circuit.ts";
