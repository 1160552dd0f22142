/** Buckets per doubling: the borders are 2^(1/8) apart, so an estimate is off by 4.5 % at most before interpolation. */
const PER_DOUBLING = 8;
/** 1/16 ms and less shares the first bucket. */
const LOWEST_EXPONENT = -4;
/** 131 s and more shares the last. */
const HIGHEST_EXPONENT = 17;
const BUCKETS = (HIGHEST_EXPONENT - LOWEST_EXPONENT) * PER_DOUBLING + 1;

/**
 * Latencies in logarithmic buckets of fixed borders: 1.4 kB whatever arrives, and two of them add up bucket by bucket.
 *
 * It is OpenTelemetry's exponential histogram with scale 3 (Metrics Data Model, "Exponential Scale").
 */
export class LogHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;

  /** How many values it holds, by weight. */
  get count(): number {
    return this.#count;
  }

  /** @param ms milliseconds; anything that is not above 0 counts into the first bucket */
  record(ms: number, weight = 1): void {
    this.#buckets[bucketOf(ms)]! += weight;
    this.#count += weight;
  }

  add(other: LogHistogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#buckets[i]! += other.#buckets[i]!;
    this.#count += other.#count;
  }

  clear(): void {
    this.#buckets.fill(0);
    this.#count = 0;
  }

  /**
   * @param q from 0 to 1
   * @returns milliseconds, interpolated inside the bucket; 0 when there is nothing
   */
  quantile(q: number): number {
    const rank = q * this.#count;
    let below = 0;
    for (let i = 0; i < BUCKETS; i++) {
      const inBucket = this.#buckets[i]!;
      if (inBucket > 0 && below + inBucket >= rank) {
        const share = Math.min(1, Math.max(0, (rank - below) / inBucket));
        return 2 ** (LOWEST_EXPONENT + (i - 1 + share) / PER_DOUBLING);
      }
      below += inBucket;
    }
    return 0;
  }
}

/** Bucket i holds what is above 2^(lowest + (i - 1) / 8) and at most 2^(lowest + i / 8). */
function bucketOf(ms: number): number {
  if (!(ms > 0)) return 0;
  const index = Math.ceil((Math.log2(ms) - LOWEST_EXPONENT) * PER_DOUBLING);
  return Math.min(BUCKETS - 1, Math.max(0, index));
}
