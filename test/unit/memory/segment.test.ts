/** A segment: where its slabs begin, its number in the book, and its trap. */

import { describe, expect, test } from "vitest";
import { PAGE_BYTES, requireBook, SLAB_COUNT } from "../../../src/memory/abi.ts";
import { createSegment, Segment } from "../../../src/memory/segment.ts";
import { SEGMENT_BYTES } from "../../helpers.ts";
import { arenaModule, openTable, present, tear } from "../helpers.ts";

const SLAB_BYTES = SEGMENT_BYTES / SLAB_COUNT;

function open(opened = openTable(), slabBytes = SLAB_BYTES) {
  const segment = present(
    createSegment(opened.table, slabBytes, (memory) => new Segment(memory, slabBytes, opened.table)),
  );
  return { ...opened, segment };
}

describe("a segment", () => {
  test("reserves its 64 slabs and nothing more, and is refused where they do not fit", () => {
    const opened = openTable(2);
    const { segment } = open(opened);
    open(opened);
    expect([segment.reservedBytes, opened.table.budget.reservedBytes]).toEqual([SEGMENT_BYTES, 2 * SEGMENT_BYTES]);
    expect(createSegment(opened.table, SLAB_BYTES, () => expect.unreachable())).toBeNull();
  });

  test("cannot be grown by anyone", () => {
    const { segment } = open();
    expect(() => present(segment.memory).grow(1)).toThrow(RangeError);
    expect(present(segment.memory).buffer.byteLength).toBe(SEGMENT_BYTES);
  });

  test.each([4096, 16384, 262144])(
    "of slabs of %i bytes begins them at its stagger, within the memory",
    (slabBytes) => {
      const opened = openTable(10_000);
      const starts = Array.from({ length: 8 }, () => {
        const { segment } = open(opened, slabBytes);
        const stagger = segment.base + 4096;
        expect(stagger % 64).toBe(0);
        expect(stagger).toBeGreaterThanOrEqual(64);
        expect(stagger).toBeLessThanOrEqual(4032);
        expect(segment.firstPtr).toBe(segment.base + slabBytes);
        // The trap has room, and the last slab ends inside.
        expect(segment.firstPtr).toBeGreaterThan(0);
        expect(segment.base + SLAB_COUNT * slabBytes).toBeLessThanOrEqual(segment.reservedBytes);
        return segment.firstPtr % 4096;
      });
      expect(new Set(starts).size).toBe(8);
    },
  );

  test("has one number in a book, and another in the next book", () => {
    const { segment } = open();
    const book = requireBook(arenaModule, 12, false);
    book.exports.addSegment(0);
    expect(segment.numberIn(book)).toBe(1);
    expect(segment.numberIn(book)).toBe(1);
    const next = requireBook(arenaModule, 12, false);
    expect(segment.numberIn(next)).toBe(0);
    expect(segment.account.entry).toEqual({ book: next, number: 0 });
  });

  test("has no number in a book that refuses it", () => {
    const { segment } = open();
    const book = requireBook(arenaModule, 12, false);
    tear(book);
    expect(segment.numberIn(book)).toBeLessThan(0);
    expect(segment.account.entry).toBeUndefined();
  });
});

describe("a segment's trap", () => {
  test.each([0, 1, 7, 8, 100, 1023])("tells of a write at %i, once, and is zero afterwards", (at) => {
    const { segment } = open();
    expect(segment.takeStrayWrite()).toBe(-1);
    const bytes = new Uint8Array(present(segment.memory).buffer);
    const end = Math.min(segment.firstPtr, 1024);
    if (at >= end) return;
    bytes.fill(7, at, segment.firstPtr);
    expect(segment.takeStrayWrite()).toBe(at);
    expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(-1);
    expect(bytes.subarray(0, segment.firstPtr).every((byte) => byte === 0)).toBe(true);
  });

  test("reaches up to the first slab and no further", () => {
    const { segment } = open();
    const bytes = new Uint8Array(present(segment.memory).buffer);
    bytes.fill(7, segment.firstPtr);
    expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(-1);
    bytes[segment.firstPtr - 1] = 1;
    expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(segment.firstPtr - 1);
    expect(bytes[segment.firstPtr]).toBe(7);
  });
});
