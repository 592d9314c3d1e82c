/** The arenas that random programs run on: small, so that everything is used again and again. */

import type { ExhaustionPolicy, RevokeMode, TraceLevel } from "cleanslab";
import fc from "fast-check";

export const SEGMENT_BYTES = 262144;
/** The longest lease that shares such a segment with others. */
export const LONGEST_SHORT_BYTES = SEGMENT_BYTES / 4;
const PAGE_BYTES = 65536;

export interface Settings {
  readonly revoke: RevokeMode;
  readonly segmentBytes: number;
  readonly maxBytes: number;
  readonly onExhausted: ExhaustionPolicy;
  readonly guardEvery: number;
  readonly wipeOnRelease: boolean;
  readonly trace: TraceLevel;
}

/** A few segments, and some pages that only memories of one lease can use. The plainest options come first. */
export function settings(revoke: RevokeMode): fc.Arbitrary<Settings> {
  const record = fc.record({
    segments: fc.oneof(
      { withCrossShrink: true },
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 5 }) },
      { weight: 1, arbitrary: fc.integer({ min: 6, max: 16 }) },
    ),
    pages: fc.integer({ min: 0, max: 3 }),
    onExhausted: fc.constantFrom<ExhaustionPolicy[]>("allocate", "throw"),
    guardEvery: fc.constantFrom(0, 0, 0, 0, 1, 3, 10),
    wipeOnRelease: fc.constantFrom(false, false, true),
    trace: fc.constantFrom<TraceLevel[]>("off", "off", "off", "off", "off", "sampled", "all"),
  });
  return record.map(({ segments, pages, ...rest }) => ({
    revoke,
    segmentBytes: SEGMENT_BYTES,
    maxBytes: segments * SEGMENT_BYTES + pages * PAGE_BYTES,
    ...rest,
  }));
}

/** Lengths of leases: some often, so that the same size classes are met again, and any now and then. */
export const byteLengths: fc.Arbitrary<number> = fc.oneof(
  { withCrossShrink: true },
  { weight: 8, arbitrary: fc.constantFrom(100, 0, 1, 16, 1000, 1024, 4096, 5000, 20_000, LONGEST_SHORT_BYTES) },
  { weight: 6, arbitrary: fc.nat(2048) },
  { weight: 2, arbitrary: fc.nat(LONGEST_SHORT_BYTES) },
  { weight: 1, arbitrary: fc.integer({ min: LONGEST_SHORT_BYTES + 1, max: 200_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(100_000, 131_072, 2 * SEGMENT_BYTES, 8 * SEGMENT_BYTES) },
);

/** Which one of a list: 0 is the newest. */
export const pick: fc.Arbitrary<number> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat(200) },
);
