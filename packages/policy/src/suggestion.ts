/** Beyond this a word is no slip of the fingers, and comparing it costs more than it helps. */
const LONGEST_WORD = 40;

/** The candidate that was probably meant: the same but for case, an ending more or less, or a few letters. */
export function suggestion(given: string, candidates: readonly string[]): string | undefined {
  if (given.length > LONGEST_WORD) return undefined;
  const word = given.toLowerCase();
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const other = candidate.toLowerCase();
    const distance = holdsTheOther(word, other) ? 1 : editDistance(word, other);
    if (distance <= Math.max(1, Math.floor(0.45 * Math.max(word.length, other.length))) && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** "windowMs" and "window", "timeout" and "attemptTimeout". */
function holdsTheOther(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= 4 && (a.includes(b) || b.includes(a));
}

/**
 * Letters to insert, delete, replace or swap with their neighbour to make one word of the other.
 *
 * Source: optimal string alignment, after Damerau, "A technique for computer detection and correction of spelling
 * errors", CACM 7(3), 1964.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
