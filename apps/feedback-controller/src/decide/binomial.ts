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
  // Summed away from the mean, where terms only fall: what is too small for a double is too small to count.
  return k > n * p ? Math.min(1, fallingSum(n, p, k)) : Math.max(0, 1 - fallingSum(n, 1 - p, n - k + 1));
}

/** The terms k to n of the binomial distribution, where k lies above the mean. */
function fallingSum(n: number, p: number, k: number): number {
  let logTerm = k * Math.log(p) + (n - k) * Math.log1p(-p);
  for (let i = 1; i <= k; i++) logTerm += Math.log((n - k + i) / i);
  let term = Math.exp(logTerm);
  let sum = term;
  for (let i = k; i < n; i++) {
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
    sum += term;
  }
  return sum;
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
