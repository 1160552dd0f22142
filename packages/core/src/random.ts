/** Draws a number from 0 (included) to 1 (excluded). An argument wherever chance decides, so that decisions stay pure. */
export type Random = () => number;

/** The runtime's own generator. Not for secrets. */
export const systemRandom: Random = Math.random;
