/**
 * P[Bin(n, p) >= k].
 *
 * @param n whole, 0 or more
 * @param p from 0 to 1
 * @param k whole; 0 or less is certain, above n impossible
 */
export function binomialTail(n: number, p: number, k: number): number {
  if (k <= 0) return 1;
  if (k > n || p <= 0) return 0;
  if (p >= 1) return 1;
  // From the k-th term on, each from the one before; the k-th in logarithms, because it may be below any double.
  let logTerm = k * Math.log(p) + (n - k) * Math.log1p(-p);
  for (let i = 1; i <= k; i++) logTerm += Math.log((n - k + i) / i);
  let term = Math.exp(logTerm);
  let sum = term;
  for (let i = k; i < n; i++) {
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
    sum += term;
    if (term < sum * 1e-16 && i > n * p) break;
  }
  return Math.min(1, sum);
}

/** The smallest k with P[Bin(n, p) >= k] <= chance; n + 1 when there is none. */
export function rareCount(n: number, p: number, chance: number): number {
  let low = 0;
  let high = n + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (binomialTail(n, p, middle) <= chance) high = middle;
    else low = middle + 1;
  }
  return low;
}
