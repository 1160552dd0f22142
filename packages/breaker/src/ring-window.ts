const BUCKETS = 10;

/**
 * Counts the results of the last `windowMs` in ten buckets, each stamped with the stretch of time it stands for.
 *
 * It is moved on by the time that the caller brings, never by a timer: a blocked event loop cannot stretch it (opossum's
 * can be). The present bucket and the nine before it count, so it looks back between 90 and 100 % of `windowMs`. Running
 * totals with subtract-on-evict, as in resilience4j's SlidingTimeWindowMetrics: reading costs nothing, and a result costs
 * the same however many there are.
 */
export class RingWindow {
  #bucketMs: number;
  /** Number of the newest bucket since time began; its place in the ring is the remainder. */
  #head = Number.NEGATIVE_INFINITY;
  #successes = 0;
  #failures = 0;
  #run = 0;
  readonly #successRing = new Float64Array(BUCKETS);
  readonly #failureRing = new Float64Array(BUCKETS);

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / BUCKETS;
  }

  get successes(): number {
    return this.#successes;
  }

  get failures(): number {
    return this.#failures;
  }

  get calls(): number {
    return this.#successes + this.#failures;
  }

  /** Failures since the last success. Forgotten once a whole window has passed without a result. */
  get run(): number {
    return this.#run;
  }

  /** @param nowMs monotonic */
  succeed(nowMs: number): void {
    this.advance(nowMs);
    this.#successRing[this.#head % BUCKETS]!++;
    this.#successes++;
    this.#run = 0;
  }

  /** @param nowMs monotonic */
  fail(nowMs: number): void {
    this.advance(nowMs);
    this.#failureRing[this.#head % BUCKETS]!++;
    this.#failures++;
    this.#run++;
  }

  /** Lets go of what is too old. */
  advance(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    // A time before the newest result counts as the newest bucket's: the caller's clock may be read a moment early.
    if (bucket <= this.#head) return;
    if (bucket - this.#head >= BUCKETS) {
      this.clear();
    } else {
      for (let evicted = this.#head + 1; evicted <= bucket; evicted++) {
        const place = evicted % BUCKETS;
        this.#successes -= this.#successRing[place]!;
        this.#failures -= this.#failureRing[place]!;
        this.#successRing[place] = 0;
        this.#failureRing[place] = 0;
      }
    }
    this.#head = bucket;
  }

  clear(): void {
    this.#successRing.fill(0);
    this.#failureRing.fill(0);
    this.#successes = 0;
    this.#failures = 0;
    this.#run = 0;
  }

  /** Changes the length and keeps the results: each goes where its age belongs, what is older than the new length goes. */
  resize(windowMs: number, nowMs: number): void {
    this.advance(nowMs);
    const bucketMs = windowMs / BUCKETS;
    if (bucketMs === this.#bucketMs) return;
    const [oldHead, oldBucketMs, run] = [this.#head, this.#bucketMs, this.#run];
    const old = Array.from({ length: BUCKETS }, (_, age) => {
      const place = (((oldHead - age) % BUCKETS) + BUCKETS) % BUCKETS;
      return { age, successes: this.#successRing[place]!, failures: this.#failureRing[place]! };
    });
    this.clear();
    this.#bucketMs = bucketMs;
    this.#head = Math.floor(nowMs / bucketMs);
    for (const { age, successes, failures } of old) {
      // By a bucket's youngest moment, so that a longer window never ages a result.
      const atMs = Math.min(nowMs, (oldHead - age + 1) * oldBucketMs);
      const newAge = this.#head - Math.floor(atMs / bucketMs);
      if (newAge >= BUCKETS) continue;
      const place = (((this.#head - newAge) % BUCKETS) + BUCKETS) % BUCKETS;
      this.#successRing[place]! += successes;
      this.#failureRing[place]! += failures;
      this.#successes += successes;
      this.#failures += failures;
    }
    this.#run = this.calls > 0 ? run : 0;
  }
}
