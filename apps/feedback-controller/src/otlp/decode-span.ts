import { hex } from "./hex.ts";
import type { Encoded } from "./records.ts";
import { WireCursor, wireType } from "./wire.ts";

/** An attribute's value in full. Bytes are base64, as in OTLP's JSON. */
export type FullValue = string | number | boolean | null | FullValue[] | { [key: string]: FullValue };
export type FullAttributes = { [key: string]: FullValue };

export interface FullEvent {
  name: string;
  /** Milliseconds since the epoch. */
  timeMs: number;
  attributes: FullAttributes;
}

export interface FullLink {
  traceId: string;
  spanId: string;
  attributes: FullAttributes;
}

/** What a kept span holds beyond what was scanned. */
export interface SpanDetails {
  attributes: FullAttributes;
  events: FullEvent[];
  links: FullLink[];
  statusMessage: string;
}

/** Values inside values; nobody's telemetry goes deeper, and a sender must not choose how deep we recurse. */
const DEEPEST = 16;

/**
 * Reads a span in full, for somebody who looks at it.
 *
 * @throws RangeError when the bytes are not what a reader kept
 */
export function decodeSpan({ format, bytes }: Encoded): SpanDetails {
  if (format === "json") return decodeJsonSpan(bytes);
  const wire = new WireCursor(bytes);
  const end = bytes.length;
  const details: SpanDetails = { attributes: {}, events: [], links: [], statusMessage: "" };
  while (wire.next(end)) {
    if (wire.field === 9) keyValue(wire, end, details.attributes, 0);
    else if (wire.field === 11) details.events.push(event(wire, end));
    else if (wire.field === 13) details.links.push(link(wire, end));
    else if (wire.field === 15) details.statusMessage = statusMessage(wire, end);
    else wire.skip(end);
  }
  return details;
}

/** @throws RangeError when the bytes are not what a reader kept */
export function decodeResource({ format, bytes }: Encoded): FullAttributes {
  if (format === "json") return jsonAttributes(parse(bytes).attributes);
  const wire = new WireCursor(bytes);
  const attributes: FullAttributes = {};
  while (wire.next(bytes.length)) {
    if (wire.field === 1) keyValue(wire, bytes.length, attributes, 0);
    else wire.skip(bytes.length);
  }
  return attributes;
}

function event(wire: WireCursor, end: number): FullEvent {
  const stop = wire.enter(end);
  const read: FullEvent = { name: "", timeMs: 0, attributes: {} };
  while (wire.next(stop)) {
    if (wire.field === 1) read.timeMs = wire.unsigned64() / 1e6;
    else if (wire.field === 2) read.name = wire.text(stop);
    else if (wire.field === 3) keyValue(wire, stop, read.attributes, 0);
    else wire.skip(stop);
  }
  return read;
}

function link(wire: WireCursor, end: number): FullLink {
  const stop = wire.enter(end);
  const read: FullLink = { traceId: "", spanId: "", attributes: {} };
  while (wire.next(stop)) {
    if (wire.field === 1) read.traceId = id(wire, stop);
    else if (wire.field === 2) read.spanId = id(wire, stop);
    else if (wire.field === 4) keyValue(wire, stop, read.attributes, 0);
    else wire.skip(stop);
  }
  return read;
}

function statusMessage(wire: WireCursor, end: number): string {
  const stop = wire.enter(end);
  let message = "";
  while (wire.next(stop)) {
    if (wire.field === 2) message = wire.text(stop);
    else wire.skip(stop);
  }
  return message;
}

function id(wire: WireCursor, end: number): string {
  const bytes = wire.slice(end);
  return hex(bytes, 0, bytes.length);
}

function keyValue(wire: WireCursor, end: number, into: FullAttributes, depth: number): void {
  const stop = wire.enter(end);
  let key = "";
  let value: FullValue = null;
  while (wire.next(stop)) {
    if (wire.field === 1) key = wire.text(stop);
    else if (wire.field === 2) value = anyValue(wire, stop, depth);
    else wire.skip(stop);
  }
  set(into, key, value);
}

function anyValue(wire: WireCursor, end: number, depth: number): FullValue {
  if (depth > DEEPEST) throw new RangeError(`a value is nested deeper than ${DEEPEST}`);
  const stop = wire.enter(end);
  let value: FullValue = null;
  while (wire.next(stop)) {
    if (wire.field === 1) value = wire.text(stop);
    else if (wire.field === 2 && wire.type === wireType.varint) value = wire.varint() !== 0;
    else if (wire.field === 3 && wire.type === wireType.varint) value = wire.int64();
    else if (wire.field === 4) value = finite(wire.double());
    else if (wire.field === 5) value = list(wire, stop, depth);
    else if (wire.field === 6) value = map(wire, stop, depth);
    else if (wire.field === 7) value = Buffer.from(wire.slice(stop)).toString("base64");
    else wire.skip(stop);
  }
  return value;
}

function list(wire: WireCursor, end: number, depth: number): FullValue[] {
  const stop = wire.enter(end);
  const values: FullValue[] = [];
  while (wire.next(stop)) {
    if (wire.field === 1) values.push(anyValue(wire, stop, depth + 1));
    else wire.skip(stop);
  }
  return values;
}

function map(wire: WireCursor, end: number, depth: number): FullAttributes {
  const stop = wire.enter(end);
  const values: FullAttributes = {};
  while (wire.next(stop)) {
    if (wire.field === 1) keyValue(wire, stop, values, depth + 1);
    else wire.skip(stop);
  }
  return values;
}

/** JSON has no NaN and no infinities; as words they can still be told apart. */
function finite(value: number): FullValue {
  return Number.isFinite(value) ? value : String(value);
}

/** A key `__proto__` must become a key. */
function set(into: FullAttributes, key: string, value: FullValue): void {
  Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true });
}

type Json = Record<string, unknown>;

function parse(bytes: Uint8Array): Json {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? (value as Json) : {};
  } catch {
    throw new RangeError("the bytes are not JSON");
  }
}

function decodeJsonSpan(bytes: Uint8Array): SpanDetails {
  const span = parse(bytes);
  const status = isObject(span.status) ? span.status : {};
  return {
    attributes: jsonAttributes(span.attributes),
    events: objects(span.events).map((read) => ({
      name: text(read.name),
      timeMs: Number(read.timeUnixNano ?? 0) / 1e6,
      attributes: jsonAttributes(read.attributes),
    })),
    links: objects(span.links).map((read) => ({
      traceId: text(read.traceId),
      spanId: text(read.spanId),
      attributes: jsonAttributes(read.attributes),
    })),
    statusMessage: text(status.message),
  };
}

function jsonAttributes(value: unknown): FullAttributes {
  const attributes: FullAttributes = {};
  for (const item of objects(value)) {
    if (typeof item.key === "string") set(attributes, item.key, jsonValue(item.value, 0));
  }
  return attributes;
}

function jsonValue(value: unknown, depth: number): FullValue {
  if (depth > DEEPEST) throw new RangeError(`a value is nested deeper than ${DEEPEST}`);
  if (!isObject(value)) return null;
  if (typeof value.stringValue === "string") return value.stringValue;
  if (typeof value.boolValue === "boolean") return value.boolValue;
  if (value.intValue !== undefined) return finite(Number(value.intValue));
  if (value.doubleValue !== undefined) return finite(Number(value.doubleValue));
  if (typeof value.bytesValue === "string") return value.bytesValue;
  if (isObject(value.arrayValue)) return objects(value.arrayValue.values).map((item) => jsonValue(item, depth + 1));
  if (isObject(value.kvlistValue)) {
    const read: FullAttributes = {};
    for (const item of objects(value.kvlistValue.values)) set(read, text(item.key), jsonValue(item.value, depth + 1));
    return read;
  }
  return null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objects(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
