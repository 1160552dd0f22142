import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Anything with an id that is kept as JSON. */
interface Kept {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** The audit: every decision with its evidence and what became of it. The oldest go first. */
export class DecisionStore<Decision extends Kept> {
  readonly #write: StatementSync;
  readonly #list: StatementSync;
  readonly #evict: StatementSync;

  /** @param limit how many decisions are kept at most */
  constructor(database: DatabaseSync, limit: number) {
    this.#write = database.prepare(
      "INSERT INTO decisions (id, at_ms, body) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET body = ?3",
    );
    this.#list = database.prepare("SELECT body FROM decisions ORDER BY at_ms DESC, id DESC LIMIT ?");
    this.#evict = database.prepare(
      `DELETE FROM decisions WHERE id IN
         (SELECT id FROM decisions ORDER BY at_ms DESC, id DESC LIMIT -1 OFFSET ${limit})`,
    );
  }

  /** Writes a decision down, or what is known of it by now. */
  save(decision: Decision): void {
    this.#write.run(decision.id, Math.trunc(decision.atMs), JSON.stringify(decision));
    this.#evict.run();
  }

  /** The latest decisions, newest first. */
  list(limit: number): Decision[] {
    return this.#list.all(limit).map((row) => JSON.parse(row.body as string) as Decision);
  }
}
