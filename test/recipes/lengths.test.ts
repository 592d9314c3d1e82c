/** Encoders that state a wrong length: the message is right, or the error is typed. It is never cut off or torn. */

import { Binary, Code, calculateObjectSize, DBRef, type Document, deserialize, ObjectId, serialize } from "bson";
import { Arena, type Lease } from "cleanslab";
import { afterEach, describe, expect, test } from "vitest";
import { encodeBson } from "../../examples/recipes/bson.ts";
import { EncodedLengthError, encodeInto } from "../../examples/recipes/encoded.ts";

const arena = new Arena({ trace: "all" });
afterEach(() => arena.assertDrained());

function bytesOf(lease: Lease): Buffer {
  const copy = Buffer.from(lease.bytes);
  lease.release();
  return copy;
}

describe("bson", () => {
  const buffer = new ArrayBuffer(24);
  const DOCUMENTS: Record<string, Document> = {
    "a Uint16Array": { a: Uint16Array.of(1, 2, 3) },
    "a Float64Array, which is stated too long": { a: Float64Array.of(1, 2, 3) },
    "a BigInt64Array": { a: BigInt64Array.of(1n, 2n) },
    "a view that begins inside its buffer": { a: new Uint32Array(buffer, 4, 2) },
    "a DataView, which is stated too long": { a: new DataView(buffer) },
    "an ArrayBuffer, which is stated too long": { a: buffer },
    "views deep inside": { a: [new Map([["b", Uint16Array.of(1, 2)]]), { c: [Int32Array.of(3)] }] },
    "values of the library's own classes": {
      code: new Code("return 1", { x: 1 }),
      ref: new DBRef("c", new ObjectId("64b7f0f0f0f0f0f0f0f0f0f0"), "d"),
      old: new Binary(Uint8Array.of(1, 2, 3), 2),
      pattern: /ü/gi,
    },
    nothing: {},
  };

  test.each(Object.entries(DOCUMENTS))("%s is encoded as the library does it", (_, document) => {
    const got = bytesOf(encodeBson(arena, document));
    expect(got.equals(serialize(document))).toBe(true);
    expect(got.readInt32LE(0)).toBe(got.length);
  });

  test("a toBSON that gives a longer value each time is encoded as it is", () => {
    let times = 0;
    const a = { toBSON: () => "x".repeat(++times * 1000) };
    const got = bytesOf(encodeBson(arena, { a }));
    expect(deserialize(got)).toEqual({ a: "x".repeat(times * 1000) });
  });

  test("some of them are stated with a wrong length: the trap is real", () => {
    const wrong = Object.entries(DOCUMENTS).filter(([, each]) => calculateObjectSize(each) !== serialize(each).length);
    expect(wrong.length).toBeGreaterThan(5);
  });

  test("a document over the library's scratch buffer is an error, where the library itself cuts it off", () => {
    const document = { a: "x".repeat(18 * 1024 * 1024) };
    expect(serialize(document).length).toBeLessThan(document.a.length);
    expect(() => encodeBson(arena, document)).toThrow(EncodedLengthError);
    expect(() => encodeBson(arena, document)).toThrow(
      expect.objectContaining({
        code: "ERR_ENCODED_LENGTH",
        message: expect.stringContaining("setInternalBufferSize"),
      }),
    );
  });

  test("what toBSON throws is thrown, a RangeError too, and nothing is leased", () => {
    const error = new RangeError("mine");
    const document = {
      toBSON() {
        throw error;
      },
    };
    expect(() => encodeBson(arena, { document })).toThrow(error);
  });
});

describe("an encoder whose message is not where it was told to write", () => {
  const CAPACITY = 64;
  /** Where in the memory around its lease the message begins and ends, from the lease's first byte. */
  const OUTSIDE: [start: number, end: number][] = [
    [-1, 10],
    [0, CAPACITY + 1],
    [10, CAPACITY + 10],
    [-4, -2],
    [CAPACITY + 1, CAPACITY + 5],
  ];
  test.each(OUTSIDE)("from %d to %d is an error", (start, end) => {
    const around = arena.acquire(256);
    const encode = (bytes: Uint8Array<ArrayBuffer>): Uint8Array => {
      return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
    };
    expect(() => encodeInto(arena, CAPACITY, encode)).toThrow(EncodedLengthError);
    around.release();
  });

  test.each([
    [0, 0],
    [0, CAPACITY],
    [3, 10],
    [CAPACITY, CAPACITY],
  ])("from %d to %d is the message", (start, end) => {
    const lease = encodeInto(arena, CAPACITY, (bytes) => {
      for (let at = 0; at < CAPACITY; at++) bytes[at] = at;
      return bytes.subarray(start, end);
    });
    expect([...bytesOf(lease)]).toEqual(Array.from({ length: end - start }, (_, at) => start + at));
  });
});
