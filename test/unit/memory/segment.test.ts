/** A segment: where its slabs begin, and its trap. */

import { describe, expect, test } from "vitest";
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

describe("a segment's trap", () => {
  test.each([0, 1, 7, 8, 63])("tells of a write at %i, once, and is zero afterwards", (at) => {
    const segment = open();
    expect(segment.takeStrayWrite()).toBe(-1);
    const bytes = new Uint8Array(present(segment.memory).buffer);
    bytes.fill(7, at, segment.firstPtr);
    expect([segment.takeStrayWrite(), segment.takeStrayWrite(PAGE_BYTES)]).toEqual([at, -1]);
    expect(isZero(bytes.subarray(0, segment.firstPtr))).toBe(true);
  });

  test("reaches up to the first slab and no further", () => {
    const segment = open();
    const { firstPtr } = segment;
    const bytes = new Uint8Array(present(segment.memory).buffer);
    bytes.fill(7, firstPtr);
    expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(-1);
    bytes[firstPtr - 1] = 1;
    expect([segment.takeStrayWrite(PAGE_BYTES), bytes[firstPtr]]).toEqual([firstPtr - 1, 7]);
  });
});
