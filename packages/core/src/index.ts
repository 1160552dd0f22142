export { type Clock, sleep, systemClock, type Timer } from "./clock.ts";
export { formatDuration, parseDuration } from "./duration.ts";
export { HoldfastError, type HoldfastErrorOptions, messageOf } from "./errors.ts";
export {
  type JsonLoggerOptions,
  jsonLogger,
  type LogFields,
  type Logger,
  type LogLevel,
  type RateLimitedLoggerOptions,
  rateLimitedLogger,
  silentLogger,
} from "./logger.ts";
export { attr, metric } from "./names.ts";
export { type NumberRange, numberOption, wordOption } from "./option.ts";
export { processGlobal } from "./process-global.ts";
export { type Random, systemRandom } from "./random.ts";
export {
  type AttributeValue,
  jsonLinesSink,
  type LiveSpan,
  newSpanId,
  newTraceId,
  type SpanObserver,
  type SpanReference,
  type StoryAttributes,
  type StoryEvent,
  type StoryLink,
  type StorySink,
  type StorySpan,
} from "./story.ts";
