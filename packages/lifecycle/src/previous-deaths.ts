import { type Clock, HoldfastError, type Logger, messageOf, type StorySink, sleep, type Timer } from "@holdfast/core";
import type { DeathStory } from "./death-story.ts";
import { classifyDeath, timeOfDeath } from "./recorder/classify-death.ts";
import { type ClaimedDeath, type Claims, type Lineage, SUCCESSOR_WAITS_MS } from "./recorder/lineage.ts";
import type { Incident } from "./recorder/record-types.ts";
import { incidentOf, type Teller, tellDeath } from "./recorder/tell-death.ts";

const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 300_000;
/** An instance that stopped in an orderly way, and came back much later, came back to a new story. */
const INCIDENT_OUTLIVES_STOP_MS = 900_000;

export interface PreviousDeathsOptions {
  lineage: Lineage;
  sink: StorySink;
  clock: Clock;
  logger: Logger;
  teller: () => Teller;
  /** Told of each death once, when it was told. */
  onTold: (story: DeathStory) => void;
  /** Told when a death that was proved late brings an incident. */
  onIncident: (incident: Incident) => void;
}

/** The deaths that this process has to tell. */
export class PreviousDeaths {
  readonly #options: PreviousDeathsOptions;
  #claims: Claims;
  #telling: Promise<DeathStory | null> | null = null;
  #latest: DeathStory | null = null;
  #retry: Timer | null = null;
  #retryMs = FIRST_RETRY_MS;
  readonly #closing = new AbortController();

  constructor(options: PreviousDeathsOptions) {
    this.#options = options;
    this.#claims = options.lineage.claim();
  }

  /** The incident that the latest death left open. */
  get incident(): Incident | null {
    return this.#incidentOf(this.#claims);
  }

  /** @throws HoldfastError "STORY_NOT_DELIVERED" when the sink refused; it goes on in the background then */
  tell(): Promise<DeathStory | null> {
    this.#retry?.cancel();
    this.#telling ??= this.#tellAll().finally(() => {
      this.#telling = null;
    });
    return this.#telling;
  }

  close(): void {
    this.#retry?.cancel();
    this.#closing.abort();
  }

  async #tellAll(): Promise<DeathStory | null> {
    const { clock, lineage, onIncident } = this.#options;
    await this.#deliver();
    if (this.#claims.undecided) {
      // A container's predecessor counts its processes elsewhere: only its silence proves its death.
      await sleep(clock, SUCCESSOR_WAITS_MS + 2 * 100, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return this.#latest;
      this.#claims = { ...lineage.claim(), undecided: false };
      const incident = this.#incidentOf(this.#claims);
      if (incident) onIncident(incident);
      await this.#deliver();
    }
    return this.#latest;
  }

  async #deliver(): Promise<void> {
    const { lineage, sink, logger, onTold, teller } = this.#options;
    while (this.#claims.deaths.length > 0) {
      const death = this.#claims.deaths[0]!;
      const story = this.#storyOf(death, death === latestOwn(this.#claims) ? teller() : null);
      if (story && story.spans.length > 0) {
        try {
          await sink.exportSpans(story.spans);
        } catch (cause) {
          logger.warn({ error: messageOf(cause), retryMs: this.#retryMs }, "a previous death could not be told yet");
          this.#tellAgainLater();
          throw new HoldfastError("STORY_NOT_DELIVERED", "the sink did not take the story of a previous death", {
            cause,
          });
        }
      }
      // Only now: had we died before, the next process would tell the same spans again, with the same ids.
      lineage.settle(death);
      this.#claims.deaths.shift();
      if (!story) continue;
      if (story.spans.length > 0 && !death.orphan) this.#latest = story;
      onTold(story);
    }
  }

  #storyOf(death: ClaimedDeath, teller: Teller | null): DeathStory | null {
    try {
      return tellDeath(death.record, teller);
    } catch (error) {
      this.#options.logger.warn(
        { path: death.path, error: messageOf(error) },
        "a crash record makes no story and was dropped",
      );
      return null;
    }
  }

  #tellAgainLater(): void {
    if (this.#closing.signal.aborted) return;
    this.#retry = this.#options.clock.after(this.#retryMs, () => {
      this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
      // A failure has said so and set the next timer.
      this.tell().catch(() => {});
    });
  }

  #incidentOf(claims: Claims): Incident | null {
    const record = latestOwn(claims)?.record;
    if (!record) return null;
    try {
      const cause = classifyDeath(record);
      const agoMs = this.#options.clock.now() - timeOfDeath(record, cause);
      if (cause === "graceful" && agoMs > INCIDENT_OUTLIVES_STOP_MS) return null;
      return incidentOf(record, cause) ?? null;
    } catch {
      return null;
    }
  }
}

function latestOwn(claims: Claims): ClaimedDeath | undefined {
  return claims.deaths.findLast((death) => !death.orphan);
}
