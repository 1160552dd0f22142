/** Numbers that a decision rests on, by name; they become attributes of its span. */
export type Signals = Readonly<Record<string, number>>;

/** What a law wants. Laws are pure: they see signals, and neither bounds, cooldowns nor the store. */
export interface Proposal {
  value: number;
  /** What set the value: the last constraint that was felt. */
  binding: string;
  reason: string;
  /** How the value came about. */
  signals: Signals;
  /** It restores something that must hold: tolerance and cooldown do not delay it. */
  urgent?: boolean | undefined;
}

export type LawResult = { propose: Proposal } | { hold: string };
