/** Calls with little of the stack left: to have it overflow at every point inside a call. */

/** What the stack's end is left with: room for the test's own code, in frames of some 80 bytes. */
const SPARE_FRAMES = 1000;

const pads = Array.from({ length: 30_000 }, () => undefined);
const padsOf = new Map<number, []>();

/** An array of `length` elements. As arguments of a call they leave so much less of the stack. */
export function pad(length: number): [] {
  const known = padsOf.get(length) ?? (pads.slice(0, length) as []);
  padsOf.set(length, known);
  return known;
}

/** Calls `fn` close to the stack's end. */
export function nearStackEnd(fn: () => void): void {
  let left = SPARE_FRAMES;
  const dive = (): void => {
    try {
      dive();
    } catch (error) {
      if (!(error instanceof RangeError) || left < 0) throw error;
      if (left-- > 0) throw error;
      fn();
    }
  };
  dive();
}

/** How many arguments a call of `fn` may have here, at most, and still come to its end. */
export function deepestPad(fn: () => void): number {
  let low = 0;
  for (let high = pads.length; low < high; ) {
    const middle = (low + high + 1) >> 1;
    try {
      fn.apply(undefined, pad(middle));
      low = middle;
    } catch {
      high = middle - 1;
    }
  }
  return low;
}
