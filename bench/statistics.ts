/**
 * Figures out of samples, and numbers out of a seed. Knows no rival, no clock and no process.
 */

/**
 * By nearest rank: the smallest sample that at least `percent` of all samples do
 * not exceed. Always a sample that was seen, never a mean of two.
 *
 * @param sorted samples, shortest first
 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  // The product is rounded: 99.9 % of 1000 samples is the 999th, not the 1000th.
  const rank = Math.ceil((percent * sorted.length) / 100 - 1e-9);
  return sorted[Math.max(0, rank - 1)] ?? Number.NaN;
}

export interface Summary {
  /** The median. */
  value: number;
  /** Half the distance between the quartiles over the median. */
  spread: number;
  samples: number;
}

/** One figure out of several runs. */
export function summarize(samples: Iterable<number>): Summary {
  const sorted = Float64Array.from(samples).sort();
  const value = median(sorted);
  const spread = value === 0 ? 0 : (percentile(sorted, 75) - percentile(sorted, 25)) / 2 / value;
  return { value, spread, samples: sorted.length };
}

function median(sorted: Float64Array): number {
  const middle = sorted.length / 2;
  if (!Number.isInteger(middle)) return sorted[Math.floor(middle)] ?? Number.NaN;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** Numbers from 0 to below 1, the same for the same seed: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
