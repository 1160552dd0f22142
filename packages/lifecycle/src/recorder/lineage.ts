import { readdirSync, renameSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Logger } from "@holdfast/core";
import { messageOf } from "@holdfast/core";
import { type DeathRecord, readRecord, reportsHeapOom } from "./death-record.ts";
import { privateFolder } from "./private-folder.ts";
import { type LifeSign, lifeSign } from "./process-identity.ts";
import type { RecordedIdentity } from "./record-types.ts";

/** A death that is this process's to tell: nobody else will while it lives. */
export interface ClaimedDeath {
  path: string;
  reportPath: string;
  record: DeathRecord;
  /** Of another instance, whose own successor never came: told here, but no part of this instance's story. */
  orphan: boolean;
}

export interface Claims {
  /** Oldest first. */
  deaths: ClaimedDeath[];
  /** Whether a record lies there whose process cannot be proved dead yet. */
  undecided: boolean;
}

/** More untold deaths than this are not kept: the oldest go. */
const MOST_UNTOLD_DEATHS = 16;
/** Silence after which a process of the same name is dead where its start time cannot be compared: 20 beats missed. */
export const SUCCESSOR_WAITS_MS = 2_000;
/** Silence after which a process of another name has no successor that would tell: three times the kubelet's longest back-off. */
const ORPHAN_AFTER_MS = 900_000;
/** How many folders of other names are looked into at a start. */
const MOST_SIBLINGS = 64;

const RECORD = /^([0-9a-f]{16})\.(?:record|new)$/;
const DEATH = /^([0-9a-f]{16})\.([0-9a-f]{16})\.death$/;

/**
 * The records of one instance and its predecessors: a folder in `stateDir`, one file a process. Nothing is locked: a
 * process writes its own file only, and takes a dead one's by renaming it, which one of several succeeds in.
 *
 *     <incarnation>.new                 a record that is being made
 *     <incarnation>.record              a process that lives, or died and was not found yet
 *     <incarnation>.<claimer>.death     dead, and being told by the claimer
 *     <incarnation>.report.json         written by Node itself when the heap was exhausted
 */
export class Lineage {
  readonly folder: string;
  readonly #stateDir: string;
  readonly #own: RecordedIdentity;
  readonly #clock: Clock;
  readonly #logger: Logger;

  /** @throws HoldfastError "STATE_DIR_UNSAFE"; what the file system throws */
  constructor(stateDir: string, own: RecordedIdentity, clock: Clock, logger: Logger) {
    this.#stateDir = stateDir;
    this.#own = own;
    this.#clock = clock;
    this.#logger = logger;
    this.folder = join(stateDir, lineageName(own.instance));
    privateFolder(this.folder);
  }

  get recordPath(): string {
    return join(this.folder, `${this.#own.incarnation}.record`);
  }

  get reportName(): string {
    return `${this.#own.incarnation}.report.json`;
  }

  /** Does something in the folder, which another process may have tidied away while it was empty. */
  withFolder<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      privateFolder(this.folder);
      return run();
    }
  }

  /** Takes every death that is proved and nobody else's. Never throws: what cannot be read is dropped, and said in one line. */
  claim(): Claims {
    const found: Claims = { deaths: [], undecided: false };
    const dropped: string[] = [];
    this.#claimFolder(this.folder, SUCCESSOR_WAITS_MS, found, dropped);
    for (const sibling of this.#siblings()) {
      // Whether a sibling is undecided is no concern of ours: it has its own successor.
      const orphans: Claims = { deaths: [], undecided: false };
      this.#claimFolder(sibling, ORPHAN_AFTER_MS, orphans, dropped);
      found.deaths.push(...orphans.deaths);
      if (orphans.deaths.length > 0) removeIfEmpty(sibling);
    }
    found.deaths.sort((a, b) => a.record.identity.bornAtMs - b.record.identity.bornAtMs);
    for (const tooMany of found.deaths.splice(0, Math.max(0, found.deaths.length - MOST_UNTOLD_DEATHS))) {
      this.settle(tooMany);
      dropped.push(`${tooMany.path}: one of more than ${MOST_UNTOLD_DEATHS} untold deaths`);
    }
    const damagedSlots = found.deaths.reduce((sum, death) => sum + death.record.damaged, 0);
    if (dropped.length > 0 || damagedSlots > 0) {
      this.#logger.warn({ dropped, damagedSlots }, "parts of earlier crash records were dropped");
    }
    return found;
  }

  /** The death was told, or is not worth telling: its files go. */
  settle(death: ClaimedDeath): void {
    rmSync(death.path, { force: true });
    rmSync(death.reportPath, { force: true });
  }

  #claimFolder(folder: string, deadAfterMs: number, found: Claims, dropped: string[]): void {
    const names = namesIn(folder);
    for (const name of names) {
      const [, incarnation = "", claimer] = RECORD.exec(name) ?? DEATH.exec(name) ?? [];
      if (incarnation === "" || incarnation === this.#own.incarnation) continue;
      if (claimer === this.#own.incarnation) continue;
      const path = join(folder, name);
      try {
        const record = readRecord(path);
        if (!record) {
          // It may be a living process's, of a version that is newer than this one: those write all the time.
          if (this.#clock.now() - statSync(path).mtimeMs < deadAfterMs) continue;
          rmSync(path, { force: true });
          dropped.push(`${path}: not a record that this version can read`);
          continue;
        }
        const sign =
          claimer === undefined ? this.#lifeOf(record, deadAfterMs) : this.#lifeOfClaimer(folder, claimer, deadAfterMs);
        if (sign === "unknown") found.undecided = true;
        if (sign !== "dead") continue;
        const claimed = join(this.folder, `${incarnation}.${this.#own.incarnation}.death`);
        renameSync(path, claimed);
        const reportPath = join(this.folder, `${incarnation}.report.json`);
        moveIfThere(join(folder, `${incarnation}.report.json`), reportPath);
        record.heapOom = reportsHeapOom(reportPath);
        const orphan = lineageName(record.identity.instance) !== lineageName(this.#own.instance);
        found.deaths.push({ path: claimed, reportPath, record, orphan });
      } catch (error) {
        // Renamed under our eyes: another process tells it.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") dropped.push(`${path}: ${messageOf(error)}`);
      }
    }
  }

  #lifeOf(record: DeathRecord, deadAfterMs: number): LifeSign {
    // A beat from the future is a clock that was set back: no silence, as far as anybody can tell.
    const silentMs = this.#clock.now() - (record.end?.atMs ?? record.beat?.atMs ?? record.identity.bornAtMs);
    const sign = record.end ? "dead" : lifeSign(record.identity, this.#own, silentMs, deadAfterMs);
    // A sibling's own successor may be about to start; it has the first claim.
    const early = deadAfterMs === ORPHAN_AFTER_MS && silentMs < ORPHAN_AFTER_MS;
    return sign === "dead" && early ? "unknown" : sign;
  }

  #lifeOfClaimer(folder: string, claimer: string, deadAfterMs: number): LifeSign {
    try {
      const record = readRecord(join(folder, `${claimer}.record`));
      return record ? this.#lifeOf(record, deadAfterMs) : "dead";
    } catch {
      // Its record is gone: somebody told its own death already.
      return "dead";
    }
  }

  #siblings(): string[] {
    return namesIn(this.#stateDir)
      .filter((name) => name === UNNAMED || name.startsWith("@"))
      .map((name) => join(this.#stateDir, name))
      .filter((folder) => folder !== this.folder)
      .slice(0, MOST_SIBLINGS);
  }
}

const UNNAMED = "unnamed";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A random name has no successor of the same name, so all instances without a name of their own share one lineage. */
function lineageName(instance: string): string {
  if (UUID.test(instance)) return UNNAMED;
  const safe = instance.replace(/[^A-Za-z0-9_-]/g, (character) => `%${character.codePointAt(0)!.toString(16)}`);
  return `@${safe}`.slice(0, 200);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    // Not a folder, or not ours to read.
    return [];
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    if (from !== to) renameSync(from, to);
  } catch {
    // Node wrote no report: the rule.
  }
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty, or not a folder: stays.
  }
}
