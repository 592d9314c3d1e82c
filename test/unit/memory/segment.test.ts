/** A segment: where its slabs begin, its number in the book, and its trap. */

import { describe, expect, test } from "vitest";
import { type Book, PAGE_BYTES, requireBook, SLAB_COUNT } from "../../../src/memory/abi.ts";
import { provideSegment, Segment } from "../../../src/memory/segment.ts";
import { isZero, SEGMENT_BYTES } from "../../helpers.ts";
import { arenaModule, openTable, present, tear } from "../helpers.ts";

const SLAB_BYTES = SEGMENT_BYTES / SLAB_COUNT;

function open(opened = openTable(), slabBytes = SLAB_BYTES): Segment {
  return new Segment(present(provideSegment(opened.table, slabBytes)), slabBytes, opened.table);
}

describe("a segment", () => {
  test("reserves its 64 slabs and nothing more, is refused where they do not fit, and cannot be grown", () => {
    const opened = openTable(2);
    const segment = open(opened);
    open(opened);
    expect([segment.reservedBytes, opened.table.budget.reservedBytes]).toEqual([SEGMENT_BYTES, 2 * SEGMENT_BYTES]);
    expect(provideSegment(opened.table, SLAB_BYTES)).toBeNull();
    expect(() => present(segment.memory).grow(1)).toThrow(RangeError);
  });

  test.each([4096, 16384, 262144])(
    "of slabs of %i bytes begins them at its stagger, within the memory",
    (slabBytes) => {
      const opened = openTable(10_000);
      const segments = Array.from({ length: 8 }, () => open(opened, slabBytes));
      for (const { base, firstPtr, reservedBytes } of segments) {
        const stagger = base + 4096;
        expect(stagger % 64 === 0 && stagger >= 64 && stagger <= 4032).toBe(true);
        expect(firstPtr).toBe(base + slabBytes);
        // The trap has room, and the last slab ends inside.
        expect(firstPtr).toBeGreaterThan(0);
        expect(base + SLAB_COUNT * slabBytes).toBeLessThanOrEqual(reservedBytes);
      }
      expect(new Set(segments.map(({ firstPtr }) => firstPtr % 4096)).size).toBe(8);
    },
  );

  test("has one number in a book, another in the next book, and none in one that refuses it", () => {
    const segment = open();
    const [book, next, torn] = [1, 2, 3].map(() => requireBook(arenaModule, 12, false)) as [Book, Book, Book];
    book.exports.addSegment(0);
    expect([segment.numberIn(book), segment.numberIn(book), segment.numberIn(next)]).toEqual([1, 1, 0]);
    expect(segment.account.entry).toEqual({ book: next, number: 0 });
    tear(torn);
    expect(open().numberIn(torn)).toBeLessThan(0);
  });
});

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
