import {
  attr,
  type Clock,
  type Logger,
  messageOf,
  newSpanId,
  type StoryAttributes,
  type StorySink,
  type StorySpan,
} from "@holdfast/core";
import type { DecisionStore } from "../store/decision-store.ts";
import type { Decision } from "./decision.ts";
import type { Signals } from "./law.ts";

export interface TellerOptions {
  audit: DecisionStore<Decision>;
  sink: StorySink;
  clock: Clock;
  logger: Logger;
}

/** Tells of a decision wherever somebody may look: in the audit, as spans of one trace, and in the log. */
export class Teller {
  readonly #options: TellerOptions;
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** Only into the audit: before the store is asked, so that no change is ever without its row. */
  note(decision: Decision): void {
    this.#options.audit.save(decision);
  }

  decided(decision: Decision): void {
    const { logger } = this.#options;
    this.note(decision);
    const { id, service, target, knob, old, mode, law, binding, reason, windowMs, n, signals, span, state } = decision;
    const fields = { decisionId: id, service, target, knob, old, new: decision.new, mode, law, binding, reason };
    const { epoch, version } = decision;
    logger.info({ ...fields, windowMs, n, signals, state, epoch, version, traceId: span.traceId }, "decision");
    this.#export({
      ...span,
      name: "holdfast.decision",
      startTimeMs: decision.atMs,
      endTimeMs: Math.max(decision.atMs, this.#options.clock.now()),
      attributes: attributesOf(decision),
      links: decision.exemplars.map((exemplar) => ({ ...exemplar, attributes: { "holdfast.link": "exemplar" } })),
    });
  }

  confirmed(decision: Decision): void {
    this.note(decision);
    const { id, service, target, knob, confirmed } = decision;
    if (confirmed === undefined) return;
    const { instances, live, afterMs, atMs } = confirmed;
    this.#options.logger.info(
      { decisionId: id, service, target, knob, instances, live, afterMs },
      "decision confirmed",
    );
    this.#exportStep(decision, "holdfast.decision.confirmed", atMs, {
      "holdfast.decision.instances": instances,
      "holdfast.decision.live_instances": live,
      "holdfast.decision.after_ms": afterMs,
    });
  }

  judged(decision: Decision): void {
    this.note(decision);
    const { id, service, target, knob, verdict, verdictReason, before, after, state } = decision;
    const fields = { decisionId: id, service, target, knob, state, verdict, reason: verdictReason, before, after };
    this.#options.logger.info(fields, "decision judged");
    this.#exportStep(decision, "holdfast.decision.verdict", this.#options.clock.now(), {
      "holdfast.decision.verdict": verdict,
      "holdfast.decision.verdict_reason": verdictReason,
      ...prefixed("holdfast.decision.before", before),
      ...prefixed("holdfast.decision.after", after),
    });
  }

  /** Waits for the spans that are under way. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #exportStep(decision: Decision, name: string, endTimeMs: number, attributes: StoryAttributes): void {
    const { span, id, atMs, knob, service, target } = decision;
    this.#export({
      traceId: span.traceId,
      spanId: newSpanId(),
      parentSpanId: span.spanId,
      name,
      startTimeMs: atMs,
      endTimeMs: Math.max(atMs, endTimeMs),
      attributes: {
        [attr.decisionId]: id,
        [attr.target]: target,
        "holdfast.decision.knob": knob,
        "holdfast.decision.service": service,
        ...attributes,
      },
    });
  }

  #export(span: StorySpan): void {
    const { sink, logger } = this.#options;
    const sending = sink
      .exportSpans([span])
      .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "a decision's span was not exported"))
      .finally(() => this.#underWay.delete(sending));
    this.#underWay.add(sending);
  }
}

function attributesOf(decision: Decision): StoryAttributes {
  return {
    [attr.decisionId]: decision.id,
    [attr.target]: decision.target,
    [attr.policyLayer]: "controller",
    [attr.policyEpoch]: decision.epoch,
    "holdfast.policy.version": decision.version,
    "holdfast.decision.service": decision.service,
    "holdfast.decision.knob": decision.knob,
    "holdfast.decision.old": decision.old,
    "holdfast.decision.new": decision.new,
    "holdfast.decision.mode": decision.mode,
    "holdfast.decision.law": decision.law,
    "holdfast.decision.binding": decision.binding,
    "holdfast.decision.reason": decision.reason,
    "holdfast.decision.window_ms": decision.windowMs,
    "holdfast.decision.n": decision.n,
    "holdfast.decision.state": decision.state,
    "holdfast.decision.verdict": decision.verdict,
    "holdfast.decision.rolls_back": decision.rollsBack,
    ...prefixed("holdfast.decision.signal", decision.signals),
  };
}

function prefixed(prefix: string, signals: Signals | undefined): StoryAttributes {
  return Object.fromEntries(Object.entries(signals ?? {}).map(([name, value]) => [`${prefix}.${name}`, value]));
}
