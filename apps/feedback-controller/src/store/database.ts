import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { HoldfastError, messageOf } from "@holdfast/core";

/** Shape of the tables below. A file of another shape is refused, not guessed at. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE traces (
    trace_id TEXT PRIMARY KEY,
    seen_ms INTEGER NOT NULL,
    start_ms REAL NOT NULL,
    end_ms REAL NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    root_service TEXT,
    root_name TEXT
  ) WITHOUT ROWID;
  CREATE INDEX traces_by_age ON traces (seen_ms);
  CREATE TABLE resources (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    format TEXT NOT NULL,
    body BLOB NOT NULL
  );
  CREATE TABLE spans (
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_span_id TEXT NOT NULL,
    resource INTEGER NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    start_ms REAL NOT NULL,
    duration_ms REAL NOT NULL,
    format TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (trace_id, span_id)
  ) WITHOUT ROWID;
  CREATE INDEX spans_by_resource ON spans (resource);
  CREATE TABLE decisions (
    id TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX decisions_by_age ON decisions (at_ms);
`;

/**
 * Opens the controller's own file, readable for its owner only, or ":memory:".
 *
 * @throws HoldfastError DATA_FILE when the file cannot be used; the message names it
 */
export function openDatabase(file: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    database = new DatabaseSync(file, { timeout: 1_000 });
    if (file !== ":memory:") chmodSync(file, 0o600);
    // WAL with NORMAL survives the death of the process; only a power cut can take the last moments.
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;");
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    throw new HoldfastError("DATA_FILE", `the data file ${file} cannot be used (--data): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function prepare(database: DatabaseSync): void {
  const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version === SCHEMA_VERSION) return;
  if (version !== 0)
    throw new RangeError(`it has version ${version}, this controller writes version ${SCHEMA_VERSION}`);
  database.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
}
