/** A segment: where its slabs begin, and its trap. */

import { expect, test } from "vitest";
import { PAGE_BYTES, SLAB_COUNT } from "../../../src/memory/abi.ts";
import { createSegment, Segment } from "../../../src/memory/segment.ts";
import { isZero } from "../../helpers.ts";
import { openTable, present } from "../helpers.ts";

function open(slabBytes = 4096): Segment {
  const { table } = openTable(1000);
  return present(createSegment(table, slabBytes, (memory) => new Segment(memory, slabBytes, table)));
}

test.each([4096, 16384, 262144])(
  "a segment of slabs of %i bytes begins them at its stagger, within the memory",
  (slabBytes) => {
    const segments = Array.from({ length: 8 }, () => open(slabBytes));
    for (const { base, firstPtr, reservedBytes } of segments) {
      const stagger = base + 4096;
      expect(stagger % 64 === 0 && stagger >= 64 && stagger <= 4032).toBe(true);
      // The trap has room, and the last slab ends inside.
      expect(firstPtr).toBe(base + slabBytes);
      expect(firstPtr).toBeGreaterThan(0);
      expect(base + SLAB_COUNT * slabBytes).toBeLessThanOrEqual(reservedBytes);
    }
    expect(new Set(segments.map(({ firstPtr }) => firstPtr % 4096)).size).toBe(8);
  },
);

test("a segment's trap tells of a write anywhere in it, once, is zero afterwards, and ends at the first slab", () => {
  const segment = open();
  const { firstPtr } = segment;
  const bytes = new Uint8Array(present(segment.memory).buffer);
  bytes.fill(7, firstPtr);
  expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(-1);
  for (const at of [0, 1, 7, 8, 63, firstPtr - 1]) {
    bytes.fill(7, at, firstPtr);
    expect([1, 2].map(() => segment.takeStrayWrite(PAGE_BYTES))).toEqual([at, -1]);
    expect(isZero(bytes.subarray(0, firstPtr))).toBe(true);
  }
  bytes[63] = 7;
  expect([segment.takeStrayWrite(), bytes[firstPtr]]).toEqual([63, 7]);
});
